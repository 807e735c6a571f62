"""A comparison with a time budget: pilots size its batches, and rounds follow until the answer is settled."""

import random
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from poolwise.lab import estimate_s, rounds, status
from poolwise.lab.report import build
from poolwise.models import Batch, Comparison, Job, JobState
from poolwise.support import InvalidParameters
from tests.lab.conftest import POOLS, Bench, planned

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def small_batches(settings: Any) -> None:
    settings.JOB_MAX_COPIES = 40


def run(
    bench: Bench, comparison: Comparison, job_s: Mapping[str, float], *, noise: float = 0.01, failing: str = "",
    most_steps: int = 400, at_each: Callable[[], object] = lambda: None,
) -> list[str]:  # fmt: skip
    """Take steps until the comparison ends; a job of a pool takes `job_s`; return the pools of measured batches."""
    chance = random.Random(5)
    for _ in range(most_steps):
        comparison.refresh_from_db()
        if comparison.has_ended:
            break
        bench.tick()
        at_each()
        slower, jobs = 1 + chance.gauss(0, noise), list(Job.objects.live().order_by("created_at"))
        for index, job in enumerate(jobs):
            run_s = job_s[job.pool] * slower
            # Two slots; all ended before now, since what ends later would disturb the next batch.
            begin = timezone.now() - timedelta(seconds=run_s * (len(jobs) + 1) / 2 + 1)
            Job.objects.filter(pk=job.pk).update(
                state=JobState.FAILED if job.pool == failing else JobState.SUCCEEDED, published_at=begin,
                started_at=begin, finished_at=begin + timedelta(seconds=run_s * (1 + index // 2)), run_s=run_s,
                cpu_s=run_s, broker_wait_s=0.0, worker_wait_s=0.0,
            )  # fmt: skip
    measured = comparison.batches.filter(role=Batch.Role.MEASURED, void_reason="").order_by("position")
    return list(measured.values_list("pool", flat=True))


def budgeted(**options: Any) -> Comparison:
    return planned(**{"budget_s": 30.0, **options})


def test_pilots_run_first_and_size_each_pool_on_its_own(bench: Bench) -> None:
    comparison = budgeted(preset="quick")
    assert set(comparison.batches.values_list("role", flat=True)) == {Batch.Role.PILOT}
    run(bench, comparison, {"alpha": 0.1, "beta": 0.4, "gamma": 2.0})
    first = {b.pool: b.copies for b in comparison.batches.filter(role=Batch.Role.MEASURED, round=1)}
    assert first["alpha"] > first["beta"] > first["gamma"] >= 2
    assert comparison.copies == first["alpha"]


def test_rounds_end_when_the_answer_is_settled_and_the_report_agrees(bench: Bench) -> None:
    comparison = budgeted()
    pools = run(bench, comparison, {"alpha": 0.1, "beta": 0.2, "gamma": 0.3})
    comparison.refresh_from_db()
    assert comparison.state == Comparison.State.FINISHED
    assert (comparison.rounds, len(pools)) == (3, 9)
    answer = build(comparison).answer
    assert (answer.state, answer.pool, answer.rounds) == ("settled", "alpha", 3)
    assert answer.candidates == list(status(comparison).ranking.candidates)
    assert [standing.role for standing in answer.standings] == ["best", "out", "out"]


def test_a_pool_that_is_out_runs_no_further_round(bench: Bench) -> None:
    comparison = budgeted()
    pools = run(bench, comparison, {"alpha": 0.1, "beta": 0.104, "gamma": 0.4}, noise=0.02)
    assert pools.count("gamma") == 3
    assert pools.count("alpha") == pools.count("beta") > 3
    report = build(comparison)
    assert report.answer.standing("gamma").role == "out"  # type: ignore[union-attr]
    assert next(check for check in report.validity.checks if check.id == "complete").passed


def test_the_budget_ends_a_comparison_that_cannot_be_settled(bench: Bench) -> None:
    comparison = budgeted(budget_s=1.0)
    run(bench, comparison, dict.fromkeys(POOLS, 0.1), noise=0.3)
    comparison.refresh_from_db()
    assert comparison.state == Comparison.State.FINISHED
    assert comparison.rounds >= 3
    answer = build(comparison).answer
    assert answer.state == "open"
    assert answer.next_step


def test_a_pool_whose_jobs_fail_does_not_count_and_the_others_get_their_answer(bench: Bench) -> None:
    comparison = budgeted()
    run(bench, comparison, {"alpha": 0.1, "beta": 0.2, "gamma": 0.01}, failing="gamma")
    answer = build(comparison).answer
    assert (answer.state, answer.pool) == ("settled", "alpha")
    gamma = answer.standing("gamma")
    assert gamma is not None
    assert gamma.role == "not measured"
    assert "did not succeed" in gamma.reason


def test_nothing_to_compare_ends_at_once(bench: Bench) -> None:
    comparison = budgeted(pools=("alpha", "beta"))
    pools = run(bench, comparison, {"alpha": 0.1, "beta": 0.1}, failing="beta")
    assert len(pools) == 2
    answer = build(comparison).answer
    assert answer.state == "none"
    assert answer.next_step.startswith("Mend what makes the jobs fail")


def test_a_batch_that_took_longer_than_its_pilot_promised_becomes_smaller(bench: Bench) -> None:
    comparison = budgeted(pools=("alpha", "beta"), budget_s=10.0)
    slow = {"alpha": 0.01, "beta": 0.01}
    for _ in range(40):
        bench.tick()
        if comparison.batches.filter(round=1).exists():
            break
        bench.end_jobs(published_at=timezone.now(), run_s=0.01, cpu_s=0.01)
    before = comparison.batches.filter(round=1, pool="alpha").get()
    run(bench, comparison, {name: 60 * value for name, value in slow.items()}, noise=0.01)
    after = comparison.batches.filter(round=2, pool="alpha").get()
    assert 2 <= (after.copies or 0) < (before.copies or 0)


def test_an_arrival_rate_sizes_the_batches_by_itself(bench: Bench) -> None:
    comparison = budgeted(pools=("alpha", "beta"), arrival_rate_per_s=10.0, budget_s=40.0)
    pilot = comparison.batches.filter(role=Batch.Role.PILOT).first()
    assert pilot is not None
    assert (
        rounds.copies_after(comparison, pilot, 2) == 16
    )  # 40 s over 2 pools and 10 rounds, less what is between


def test_the_estimate_is_what_is_left_of_the_budget(bench: Bench) -> None:
    comparison = budgeted()
    assert estimate_s(comparison) == pytest.approx(30 + 3 * 1.5)


@pytest.mark.parametrize(
    "options", [{"budget_s": 0.0}, {"budget_s": 1e6}, {"budget_s": 30.0, "is_sweep": True}]
)
def test_an_impossible_budget_is_refused(bench: Bench, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidParameters) as caught:
        planned(**options)
    assert "budget_s" in caught.value.errors


@pytest.mark.parametrize(("definition", "pool", "copies"), [
    ("io.wait", "asyncio", 200), ("cpu.primes", "asyncio", 32), ("cpu.primes", "gevent", 200),
])  # fmt: skip
def test_bodies_without_a_coroutine_fill_the_threads_of_asyncio(
    four_pools: None, definition: str, pool: str, copies: int
) -> None:
    comparison = Comparison.objects.create(definition=definition, copies=1, budget_s=30.0)
    pilot = Batch.objects.create(comparison=comparison, pool=pool, round=0, position=1, slots=200)
    assert (
        rounds.copies_after(comparison, pilot, 4) == copies
    )  # a pilot without a job that ran says nothing else
