from typing import Any

import pytest
from django.utils import timezone

from jobs import comparisons
from jobs.comparisons import advance, plan, progress, stop
from jobs.errors import InvalidParameters, UnknownDefinition, UnknownPool
from jobs.heartbeats import Beat, send
from jobs.models import Block, Comparison, Job, State
from tests.core import messages

pytestmark = pytest.mark.django_db
POOLS = ("alpha", "beta", "gamma")


@pytest.fixture(autouse=True)
def _pools(settings: Any, own_keys: Any) -> Any:
    """Three pools that nobody serves."""
    prefix = settings.JOB_KEY_PREFIX.strip(":")
    settings.JOB_POOLS = {
        name: {"model": "threads", "queue": f"{prefix}-{name}", "concurrency": 2} for name in POOLS
    }
    yield
    for name in POOLS:
        own_keys.delete(f"{prefix}-{name}", f"_kombu.binding.{prefix}-{name}")


def planned(pools: tuple[str, ...] = POOLS, copies: int = 2, **options: Any) -> Comparison:
    return plan("io.wait", {"duration_s": 0.01}, pools, copies, **options)


def end_jobs(state: str = State.SUCCEEDED) -> None:
    Job.objects.live().update(state=state, finished_at=timezone.now())


def order_of(comparison: Comparison) -> list[tuple[int, str]]:
    return list(comparison.blocks.order_by("position").values_list("round", "pool"))


# --- planning -------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("changed", "error", "text"),
    [
        ({"definition": "io.wiat"}, UnknownDefinition, "io.wait"),
        ({"pools": ["alpha", "delta"]}, UnknownPool, "delta"),
        ({"pools": []}, InvalidParameters, "pools"),
        ({"pools": ["alpha", "alpha"]}, InvalidParameters, "each once"),
        ({"params": {"duration_s": -1}}, InvalidParameters, "duration_s"),
        ({"params": {"x": 1}}, InvalidParameters, "x"),
        ({"copies": 0}, InvalidParameters, "copies"),
        ({"copies": 1001}, InvalidParameters, "copies"),
        ({"rounds": 0}, InvalidParameters, "rounds"),
        ({"rounds": 101}, InvalidParameters, "rounds"),
    ],
)
def test_a_plan_that_does_not_fit_is_refused_and_stores_nothing(changed: Any, error: Any, text: str) -> None:
    given = {"definition": "io.wait", "params": {}, "pools": list(POOLS), "copies": 1, **changed}
    with pytest.raises(error, match=text):
        plan(**given)
    assert not Comparison.objects.exists()
    assert not Block.objects.exists()


def test_a_plan_has_a_block_a_pool_and_round_and_no_job_yet() -> None:
    comparison = planned(rounds=2)
    assert comparison.state == Comparison.State.PLANNED
    assert sorted(order_of(comparison)) == [(n, pool) for n in (1, 2) for pool in POOLS]
    assert list(comparison.blocks.values_list("position", flat=True)) == [1, 2, 3, 4, 5, 6]
    assert not Job.objects.exists()


def test_one_round_keeps_the_order_that_was_asked_for() -> None:
    assert order_of(planned(("gamma", "alpha"), seed=7)) == [(1, "gamma"), (1, "alpha")]


def test_the_seed_alone_decides_the_order_of_the_rounds() -> None:
    orders = [order_of(planned(rounds=6, seed=seed)) for seed in (1, 1, 2)]
    assert orders[0] == orders[1] != orders[2]
    rounds = {tuple(pool for n, pool in orders[0] if n == number) for number in range(1, 7)}
    assert len(rounds) > 1


# --- running --------------------------------------------------------------------------------------------
def test_blocks_run_one_after_another_to_the_end(own_keys: Any, settings: Any) -> None:
    comparison = planned()
    for number, pool in enumerate(POOLS, start=1):
        assert advance() == 1
        assert [job.pool for job in Job.objects.live()] == [pool] * 2
        assert len(messages(own_keys, settings.JOB_POOLS[pool]["queue"])) == 2
        assert advance() == 0, "a block waits for the one before it"
        assert Job.objects.count() == 2 * number
        end_jobs()
    assert advance() == 0
    comparison.refresh_from_db()
    assert comparison.state == Comparison.State.FINISHED
    assert comparison.finished_at
    assert not comparison.blocks.filter(finished_at=None).exists()


def test_a_job_that_runs_or_waits_to_be_tried_again_keeps_its_block_open() -> None:
    planned()
    advance()
    end_jobs()
    for state in (State.RUNNING, State.QUEUED):
        Job.objects.filter(pk=Job.objects.first().pk).update(state=state)
        assert advance() == 0
    end_jobs(State.FAILED)
    assert advance() == 1


def test_the_jobs_of_a_block_carry_their_block_user_and_origin(user: Any) -> None:
    comparison = planned(user=user)
    advance()
    job = Job.objects.first()
    assert (job.block, job.user, job.params) == (comparison.blocks.first(), user, {"duration_s": 0.01})
    assert job.request_id.startswith("comparison-")
    assert job.is_published


def test_a_block_is_not_held_back_by_the_bound_of_its_queue(settings: Any) -> None:
    settings.JOB_MAX_QUEUED = 1
    planned(copies=5)
    assert advance() == 1
    assert Job.objects.count() == 5


def test_a_block_keeps_how_many_slots_were_there(own_keys: Any) -> None:
    send(own_keys, Beat("a@h", "alpha", 1, "h", slots=7))
    send(own_keys, Beat("b@h", "alpha", 1, "h", slots=5))
    planned()
    advance()
    end_jobs()
    advance()
    assert list(Block.objects.order_by("position").values_list("slots", flat=True)) == [12, 2, None]


def test_only_the_oldest_comparison_runs() -> None:
    first, second = planned(("alpha",)), planned(("beta",))
    advance()
    assert advance() == 0
    end_jobs()
    assert advance() == 1
    first.refresh_from_db()
    second.refresh_from_db()
    assert (first.state, second.state) == (Comparison.State.FINISHED, Comparison.State.RUNNING)


def test_a_block_that_another_coordinator_released_is_not_released_twice() -> None:
    comparison = planned()
    stale = comparison.blocks.get(position=1)
    assert advance() == 1
    assert not comparisons._release(comparison, stale)
    assert Job.objects.count() == 2


def test_nothing_to_do_is_nothing_done() -> None:
    assert advance() == 0


def test_a_block_is_released_while_redis_is_away_and_its_jobs_wait(own_redis: Any) -> None:
    planned()
    assert advance() == 1
    assert Job.objects.queued().count() == 2
    assert Job.objects.filter(due_at__isnull=False).count() == 2


# --- what may go wrong ----------------------------------------------------------------------------------
@pytest.mark.parametrize("gone", ["definition", "pool", "parameter"])
def test_a_comparison_whose_ground_is_gone_is_cancelled_and_not_in_the_way(settings: Any, gone: str) -> None:
    broken, sound = planned(("alpha",)), planned(("beta",))
    if gone == "definition":
        Comparison.objects.filter(pk=broken.pk).update(definition="shop.sold")
    elif gone == "pool":
        settings.JOB_POOLS = {name: settings.JOB_POOLS[name] for name in ("beta", "gamma")}
    else:
        Comparison.objects.filter(pk=broken.pk).update(params={"old": 1})
    assert advance() == 0
    broken.refresh_from_db()
    assert broken.state == Comparison.State.CANCELLED
    assert advance() == 1
    assert {job.block.comparison for job in Job.objects.all()} == {sound}


def test_a_stopped_comparison_cancels_what_lives_and_releases_no_more(own_keys: Any) -> None:
    comparison = planned()
    advance()
    Job.objects.filter(pk=Job.objects.first().pk).update(state=State.RUNNING)
    stop(comparison)
    comparison.refresh_from_db()
    assert comparison.state == Comparison.State.CANCELLED
    assert sorted(Job.objects.values_list("state", flat=True)) == [State.CANCELLED, State.RUNNING]
    assert Job.objects.running().get().cancel_requested_at
    end_jobs()
    assert advance() == 0
    assert Job.objects.count() == 2


def test_a_comparison_stopped_at_the_moment_of_a_release_gets_no_jobs() -> None:
    comparison = planned()
    block = comparison.blocks.get(position=1)
    stop(comparison)
    assert not comparisons._release(comparison, block)
    assert not Job.objects.exists()
    comparison.refresh_from_db()
    assert comparison.state == Comparison.State.CANCELLED


def test_a_finished_comparison_cannot_be_stopped() -> None:
    comparison = planned(("alpha",))
    advance()
    end_jobs()
    advance()
    stop(comparison)
    comparison.refresh_from_db()
    assert comparison.state == Comparison.State.FINISHED


def test_progress_counts_what_is_planned_has_begun_and_has_ended() -> None:
    comparison = planned(("alpha", "beta"), copies=3, rounds=2, seed=1)
    advance()
    pool = Job.objects.first().pool
    other = {"alpha": "beta", "beta": "alpha"}[pool]
    first, second, _ = Job.objects.all()
    Job.objects.filter(pk=first.pk).update(state=State.RUNNING)
    Job.objects.filter(pk=second.pk).update(state=State.FAILED)
    assert progress(comparison) == {
        pool: {"planned": 6, "begun": 2, "ended": 1},
        other: {"planned": 6, "begun": 0, "ended": 0},
    }
