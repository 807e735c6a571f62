import itertools
import os
import re
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from poolwise.lab import plan, progress, stop
from poolwise.lifecycle.heartbeats import pools_up
from poolwise.lifecycle.submission import CancelOutcome, cancel, submit
from poolwise.models import Batch, Comparison, Job, JobState
from tests.helpers.pace import eventually
from tests.helpers.platform import Platform

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


def spans(batch: Batch) -> list[tuple[Any, Any]]:
    return list(batch.jobs.order_by("started_at").values_list("started_at", "finished_at"))


def at_once(batch: Batch) -> int:
    """Return how many of a batch's jobs ran at once, at most."""
    runs = spans(batch)
    return max(sum(start <= moment < end for start, end in runs) for moment, _ in runs)


def slots_of(pool: str) -> int:
    return sum(worker.slots for worker in pools_up().get(pool, []))


def run(pools: tuple[str, ...], copies: int, seconds: float = 0.1, **options: Any) -> Comparison:
    return plan("io.wait", {"duration_s": seconds}, pools, copies, **options)


def slow(pools: tuple[str, ...], copies: int, seconds: float, **options: Any) -> Comparison:
    return plan("endings.slow", {"duration_s": seconds}, pools, copies, **options)


def test_a_comparison_runs_one_pool_at_a_time_and_ends_with_its_report(platform: Platform) -> None:
    comparison = run(("threads", "gevent"), 6, rounds=2, seed=3, warmup=True, calibrate=True)
    assert ended(comparison) == Comparison.State.FINISHED, comparison.end_reason
    runs = [spans(batch) for batch in comparison.batches.order_by("position")]
    assert len(runs) >= 8
    whole = [(min(start for start, _ in batch), max(end for _, end in batch)) for batch in runs]
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(whole))
    measured = Job.objects.filter(batch__comparison=comparison, batch__role="measured", batch__void_reason="")
    assert list(measured.values_list("state", flat=True)) == [JobState.SUCCEEDED] * 24
    answer = comparison.report["answer"]
    assert (answer["state"], answer["rounds"]) == ("open", 2)
    assert answer["next_step"].startswith("An interval takes 3 rounds")
    assert comparison.environment["code"]
    for batch in comparison.batches.filter(void_reason=""):
        [before], [after] = batch.probe["release"]["workers"], batch.probe["end"]["workers"]
        assert before["name"] == after["name"]


def test_a_worker_killed_in_a_batch_makes_it_void_and_it_is_repeated(platform: Platform) -> None:
    comparison = slow(("threads",), 4, seconds=3)
    eventually(lambda: Job.objects.running().count() == 4, timeout_s=LONG_S)
    [worker] = pools_up()["threads"]
    os.kill(worker.pid, signal.SIGKILL)
    assert ended(comparison) == Comparison.State.FINISHED, comparison.end_reason
    void, *_, valid = comparison.batches.order_by("position")
    assert void.void_reason
    assert valid.void_reason == ""
    assert set(valid.jobs.values_list("state", "attempt")) == {(JobState.SUCCEEDED, 1)}
    assert worker.name not in {job.worker for job in valid.jobs.all()}


def check_of(comparison: Comparison, name: str) -> dict[str, Any]:
    [check] = [check for check in comparison.report["validity"]["checks"] if check["id"] == name]
    return check


def test_a_pool_that_runs_one_job_at_a_time_is_detected(platform: Platform) -> None:
    platform.stop("threads")
    platform.start("threads", DJANGO_SETTINGS_MODULE="tests.lab.one_slot.settings")
    try:
        platform.ensure("threads")
        comparison = run(("threads", "gevent"), 10, seconds=0.2)
        assert ended(comparison) == Comparison.State.FINISHED, comparison.end_reason
    finally:
        platform.stop("threads")
        platform.ensure("threads")
    assert {batch.pool: at_once(batch) for batch in comparison.batches.filter(void_reason="")}["threads"] == 1
    check = check_of(comparison, "concurrency")
    assert (check["passed"], check["matters"], check["pools"]) == (False, True, ["threads"])
    assert "threads ran 1 job at a time although it has 32 slots" in check["reason"]
    [threads] = [row for row in comparison.report["answer"]["standings"] if row["name"] == "threads"]
    assert threads["role"] == "not measured"
    # The worker with one slot has one more app, so that the version of its code differs, too.
    assert threads["reason"] in {check["reason"], check_of(comparison, "code")["reason"]}
    assert comparison.report["answer"]["state"] == "none", "one pool is left"


def test_a_comparison_with_a_budget_sizes_its_batches_and_ends_when_it_is_settled(platform: Platform) -> None:
    comparison = run(("prefork", "threads"), 12, seconds=0.1, budget_s=30.0, preset="quick")
    assert ended(comparison) == Comparison.State.FINISHED, comparison.end_reason
    answer = comparison.report["answer"]
    assert (answer["state"], answer["pool"]) == ("settled", "threads")
    assert answer["text"].startswith("Run io.wait on threads (32 slots). It is ")
    assert comparison.rounds >= 3
    sizes = {batch.pool: batch.copies for batch in comparison.batches.filter(role="measured")}
    assert sizes["threads"] > 2 * sizes["prefork"] >= 2 * 2, "each pool has batches of its own size"
    assert comparison.batches.filter(role="pilot", void_reason="").count() == 2


def test_jobs_of_others_take_out_only_the_pool_whose_slots_they_took(platform: Platform) -> None:
    pools = ("threads", "gevent", "asyncio")
    comparison = slow(pools, 4, seconds=2)
    eventually(lambda: Job.objects.running().filter(pool="threads").count() == 4, timeout_s=LONG_S)
    others = [*submit("io.wait", {"duration_s": 1.5}, pool="threads", copies=6)]
    others += submit("io.wait", {"duration_s": 0.1}, pool="prefork")
    platform.wait_for(*others, timeout_s=LONG_S)
    assert ended(comparison) == Comparison.State.FINISHED, comparison.end_reason
    check = check_of(comparison, "alone")
    assert (check["passed"], check["pools"]) == (False, ["threads"])
    assert re.search(r"threads \(\d+ % of its slots\)", check["reason"])
    roles = {row["name"]: row["role"] for row in comparison.report["answer"]["standings"]}
    assert roles["threads"] == "not measured"
    assert "not measured" not in (roles["gevent"], roles["asyncio"])


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
    report = comparison.report
    assert report["baseline"] == "guard=none"
    assert [(pair["base"], pair["other"]) for pair in report["pairs"]] == [("guard=none", "guard=lock")]
    assert check_of(comparison, "parameters")["passed"]
    assert report["answer"]["why"] == "", "no advice on pools"
    assert "of 1,200 updates were lost; with a lock none" in report["lesson"]
    head, rows = report["results_table"]["head"], {row[0]: row[1:] for row in report["results_table"]["rows"]}
    assert head[1:4] == ["updates", "counted", "lost"]
    assert rows["guard=lock"][2] == "0"
    assert rows["guard=none"][2] != "0"


def test_the_next_coordinator_continues_after_one_was_killed(platform: Platform) -> None:
    comparison = slow(("threads", "gevent"), 4, seconds=2, rounds=2)
    eventually(lambda: Job.objects.running().count() == 4, timeout_s=LONG_S)
    platform.processes["coordinator"].kill()
    platform.processes["coordinator"].wait()
    platform.ensure("coordinator")
    assert ended(comparison) == Comparison.State.FINISHED, comparison.end_reason
    valid = comparison.batches.filter(void_reason="")
    assert valid.count() == 4
    assert set(Job.objects.filter(batch__in=valid).values_list("state", "attempt")) == {
        (JobState.SUCCEEDED, 1)
    }


def test_a_closed_loop_never_has_more_jobs_in_flight(platform: Platform) -> None:
    comparison = run(("threads", "asyncio"), 8, in_flight=2)
    assert ended(comparison) == Comparison.State.FINISHED, comparison.end_reason
    for batch in comparison.batches.filter(void_reason=""):
        assert batch.jobs.count() == 8
        assert at_once(batch) <= 2


def test_an_open_loop_publishes_at_its_rate_regardless_of_completions(platform: Platform) -> None:
    comparison = run(("threads",), 20, seconds=1.0, arrival_rate_per_s=20.0)
    assert ended(comparison) == Comparison.State.FINISHED, comparison.end_reason
    batch = comparison.batches.get(void_reason="")
    arrivals = sorted(batch.jobs.values_list("published_at", flat=True))
    late_s = [(at - batch.released_at).total_seconds() - number / 20 for number, at in enumerate(arrivals)]
    assert all(-0.05 <= late <= 2.5 for late in late_s), late_s
    assert at_once(batch) > 5, "jobs do not wait for each other"


def test_every_pool_gets_the_same_slots_and_then_its_own_again(platform: Platform) -> None:
    before = {pool: slots_of(pool) for pool in ALL}
    comparison = run(ALL, 9, seconds=0.5, slots=3)
    assert ended(comparison) == Comparison.State.FINISHED, comparison.end_reason
    batches = comparison.batches.filter(void_reason="")
    assert {batch.pool: batch.slots for batch in batches} == dict.fromkeys(ALL, 3)
    assert {batch.pool: at_once(batch) for batch in batches} == dict.fromkeys(ALL, 3)
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
    assert set(Job.objects.values_list("state", "pool")) == {(JobState.CANCELLED, "threads")}


def test_a_batch_with_a_cancelled_job_is_repeated(platform: Platform) -> None:
    comparison = slow(("threads",), 2, seconds=4)
    eventually(lambda: Job.objects.running().count() == 2, timeout_s=LONG_S)
    assert cancel(Job.objects.first(), user=None) in (CancelOutcome.ASKED, CancelOutcome.UNSTOPPABLE)
    assert ended(comparison) == Comparison.State.FINISHED, comparison.end_reason
    assert [bool(batch.void_reason) for batch in comparison.batches.order_by("position")] == [True, False]


def test_a_batch_waits_for_a_worker_of_its_pool(platform: Platform, unserved_pool: str) -> None:
    comparison = run((unserved_pool,), 2)
    eventually(lambda: "No worker serves" in progress(comparison)[unserved_pool]["note"])
    assert not Job.objects.exists()
