import itertools
import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from jobs.comparisons import plan, progress, stop
from jobs.heartbeats import pools_up
from jobs.models import Block, Comparison, Job, State
from jobs.submission import CancelOutcome, cancel, submit
from tests.pace import eventually
from tests.platform import Platform

pytestmark = [pytest.mark.services, pytest.mark.django_db(transaction=True)]
ALL = ("prefork", "threads", "gevent", "asyncio")
LONG_S = 60  # for what takes a second or two on an idle machine


@pytest.fixture(autouse=True)
def _stopped_afterwards(platform: Platform) -> Iterator[None]:
    yield
    for comparison in Comparison.objects.filter(state__in=("planned", "running")):
        stop(comparison)
    eventually(lambda: not Comparison.objects.filter(changed_slots__isnull=False).exists(), timeout_s=LONG_S)


def ended(comparison: Comparison) -> str:
    """Return the state in which the comparison ended."""

    def is_over() -> bool:
        comparison.refresh_from_db()
        return comparison.state in (Comparison.State.FINISHED, Comparison.State.CANCELLED)

    eventually(is_over, timeout_s=120, every_s=0.2)
    return comparison.state


def spans(block: Block) -> list[tuple[Any, Any]]:
    return list(block.jobs.order_by("started_at").values_list("started_at", "finished_at"))


def at_once(block: Block) -> int:
    """Return how many of a block's jobs ran at once, at most."""
    runs = spans(block)
    return max(sum(start <= moment < end for start, end in runs) for moment, _ in runs)


def slots_of(pool: str) -> int:
    return sum(worker.slots for worker in pools_up().get(pool, []))


def run(pools: tuple[str, ...], copies: int, seconds: float = 0.1, **options: Any) -> Comparison:
    return plan("io.wait", {"duration_s": seconds}, pools, copies, **options)


def slow(pools: tuple[str, ...], copies: int, seconds: float, **options: Any) -> Comparison:
    return plan("ending.slow", {"duration_s": seconds}, pools, copies, **options)


def test_a_comparison_runs_without_two_pools_at_once_and_ends_with_its_evidence(platform: Platform) -> None:
    comparison = run(("threads", "gevent"), 6, rounds=2, seed=3, warmup=True, calibrate=True)
    assert ended(comparison) == Comparison.State.FINISHED, comparison.end_reason
    runs = [spans(block) for block in comparison.blocks.order_by("position")]
    assert len(runs) >= 8
    whole = [(min(start for start, _ in block), max(end for _, end in block)) for block in runs]
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(whole))
    measured = Job.objects.filter(block__comparison=comparison, block__role="measured", block__void_reason="")
    assert list(measured.values_list("state", flat=True)) == [State.SUCCEEDED] * 24
    assert comparison.evidence["sentence"]
    assert comparison.environment["code"]
    for block in comparison.blocks.filter(void_reason=""):
        [before], [after] = block.probe["release"]["workers"], block.probe["end"]["workers"]
        assert before["name"] == after["name"]


def test_a_worker_killed_in_a_block_makes_it_void_and_it_is_repeated(platform: Platform) -> None:
    comparison = slow(("threads",), 4, seconds=3)
    eventually(lambda: Job.objects.running().count() == 4, timeout_s=LONG_S)
    [worker] = pools_up()["threads"]
    os.kill(worker.pid, signal.SIGKILL)
    assert ended(comparison) == Comparison.State.FINISHED, comparison.end_reason
    void, *_, valid = comparison.blocks.order_by("position")
    assert void.void_reason
    assert valid.void_reason == ""
    assert set(valid.jobs.values_list("state", "attempt")) == {(State.SUCCEEDED, 1)}
    assert worker.name not in {job.worker for job in valid.jobs.all()}


def badge_of(comparison: Comparison, name: str) -> dict[str, Any]:
    [found] = [badge for badge in comparison.evidence["gate"]["badges"] if badge["id"] == name]
    return found


def test_a_pool_whose_slots_are_secretly_one_is_caught(platform: Platform) -> None:
    platform.stop("threads")
    platform.start("threads", DJANGO_SETTINGS_MODULE="tests.one_slot.settings")
    try:
        platform.ensure("threads")
        comparison = run(("threads", "gevent"), 10, seconds=0.2)
        assert ended(comparison) == Comparison.State.FINISHED, comparison.end_reason
    finally:
        platform.stop("threads")
        platform.ensure("threads")
    assert {block.pool: at_once(block) for block in comparison.blocks.filter(void_reason="")}["threads"] == 1
    badge = badge_of(comparison, "concurrency")
    assert (badge["passed"], badge["matters"], badge["pools"]) == (False, True, ["threads"])
    assert "threads ran 1 job at a time though it has 32 slots" in badge["reason"]
    [verdict] = comparison.evidence["verdicts"].values()
    assert verdict["word"] == "cannot tell"
    # The worker with one slot has one more app, so that the version of its code differs, too.
    assert verdict["reason"] in {badge["reason"], badge_of(comparison, "code")["reason"]}


def test_jobs_of_others_during_a_block_withhold_its_verdict(platform: Platform) -> None:
    comparison = slow(("threads", "gevent"), 4, seconds=2)
    eventually(lambda: Job.objects.running().filter(pool="threads").count() == 4, timeout_s=LONG_S)
    foreign = [submit("io.wait", {"duration_s": 0.1}, pool=pool)[0] for pool in ("threads", "asyncio")]
    platform.wait_for(*foreign)
    assert ended(comparison) == Comparison.State.FINISHED, comparison.end_reason
    badge = badge_of(comparison, "alone")
    assert (badge["passed"], badge["pools"]) == (False, ["threads"])
    assert "threads (1 in the pool, 1 on the machine)" in badge["reason"]
    assert {one["reason"] for one in comparison.evidence["verdicts"].values()} == {badge["reason"]}


def test_a_hazard_and_its_guards_are_compared_with_the_lesson_in_their_figures(platform: Platform) -> None:
    comparison = plan(
        "hazard.shared_counter",
        {"updates": 100},
        ("threads",),
        3,
        rounds=4,
        seed=5,
        vary={"guard": ["none", "lock"]},
    )
    assert ended(comparison) == Comparison.State.FINISHED, comparison.end_reason
    evidence = comparison.evidence
    assert evidence["baseline"] == "guard=none"
    assert list(evidence["verdicts"]) == ["guard=lock"]
    assert badge_of(comparison, "parameters")["passed"]
    assert evidence["advice"] is None
    assert "of 1,200 updates were lost; with a lock none" in evidence["lesson"]
    head, rows = evidence["harm"]["head"], {row[0]: row[1:] for row in evidence["harm"]["rows"]}
    assert head[1:4] == ["updates", "counted", "lost"]
    assert rows["guard=lock"][2] == "0"
    assert rows["guard=none"][2] != "0"


def test_a_coordinator_killed_in_the_middle_is_followed_by_one_that_goes_on(platform: Platform) -> None:
    comparison = slow(("threads", "gevent"), 4, seconds=2, rounds=2)
    eventually(lambda: Job.objects.running().count() == 4, timeout_s=LONG_S)
    platform.processes["coordinator"].kill()
    platform.processes["coordinator"].wait()
    platform.ensure("coordinator")
    assert ended(comparison) == Comparison.State.FINISHED, comparison.end_reason
    valid = comparison.blocks.filter(void_reason="")
    assert valid.count() == 4
    assert set(Job.objects.filter(block__in=valid).values_list("state", "attempt")) == {(State.SUCCEEDED, 1)}


def test_a_closed_loop_never_has_more_jobs_in_flight(platform: Platform) -> None:
    comparison = run(("threads", "asyncio"), 8, in_flight=2)
    assert ended(comparison) == Comparison.State.FINISHED, comparison.end_reason
    for block in comparison.blocks.filter(void_reason=""):
        assert block.jobs.count() == 8
        assert at_once(block) <= 2


def test_an_open_loop_publishes_in_time_whether_jobs_have_ended_or_not(platform: Platform) -> None:
    comparison = run(("threads",), 20, seconds=1.0, arrival_rate_per_s=20.0)
    assert ended(comparison) == Comparison.State.FINISHED, comparison.end_reason
    block = comparison.blocks.get(void_reason="")
    arrivals = sorted(block.jobs.values_list("published_at", flat=True))
    late_s = [(at - block.released_at).total_seconds() - number / 20 for number, at in enumerate(arrivals)]
    assert all(-0.05 <= late <= 2.5 for late in late_s), late_s
    assert at_once(block) > 5, "they do not wait for each other"


def test_every_pool_is_given_the_same_slots_and_then_its_own_again(platform: Platform) -> None:
    before = {pool: slots_of(pool) for pool in ALL}
    comparison = run(ALL, 9, seconds=0.5, slots=3)
    assert ended(comparison) == Comparison.State.FINISHED, comparison.end_reason
    blocks = comparison.blocks.filter(void_reason="")
    assert {block.pool: block.slots for block in blocks} == dict.fromkeys(ALL, 3)
    assert {block.pool: at_once(block) for block in blocks} == dict.fromkeys(ALL, 3)
    eventually(lambda: {pool: slots_of(pool) for pool in ALL} == before, timeout_s=LONG_S)
    assert comparison.changed_slots is None


def test_a_cancelled_comparison_leaves_no_job_and_no_slot_changed(platform: Platform) -> None:
    own = slots_of("threads")
    # Long enough that it is not over by itself; a thread that waits stops at the end of its wait.
    comparison = slow(("threads", "gevent"), 4, seconds=12, slots=2)
    eventually(lambda: Job.objects.running().count() == 2, timeout_s=LONG_S)
    assert slots_of("threads") == 2
    stop(comparison)
    eventually(lambda: not Job.objects.live().exists(), timeout_s=LONG_S)
    eventually(lambda: slots_of("threads") == own, timeout_s=LONG_S)
    assert set(Job.objects.values_list("state", "pool")) == {(State.CANCELLED, "threads")}


def test_a_block_of_which_somebody_cancels_a_job_is_repeated(platform: Platform) -> None:
    comparison = slow(("threads",), 2, seconds=4)
    eventually(lambda: Job.objects.running().count() == 2, timeout_s=LONG_S)
    assert cancel(Job.objects.first(), user=None) in (CancelOutcome.ASKED, CancelOutcome.UNSTOPPABLE)
    assert ended(comparison) == Comparison.State.FINISHED, comparison.end_reason
    assert [bool(block.void_reason) for block in comparison.blocks.order_by("position")] == [True, False]


def test_a_block_waits_for_a_worker_of_its_pool(platform: Platform, quiet_pool: str) -> None:
    comparison = run((quiet_pool,), 2)
    eventually(lambda: "No worker serves" in progress(comparison)[quiet_pool]["note"])
    assert not Job.objects.exists()
