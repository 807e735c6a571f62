"""What a comparison compares, and the outcome of every pair."""

from collections.abc import Sequence
from datetime import timedelta
from itertools import combinations
from statistics import median

from poolwise.lab import statistics
from poolwise.lab.report.facts import Facts, VariantRuns
from poolwise.lab.report.model import CANNOT_TELL, EQUALLY_FAST, FASTER, SLOWER, Outcome, Pair
from poolwise.lab.report.runs import Run, makespan_s
from poolwise.lab.statistics import Difference, Ranking, Sample
from poolwise.models import Batch
from poolwise.support import times

TIME_PER_JOB = "time per job: makespan of a batch over its jobs"
COMPLETION = "completion time: from when a job was due to its end, the median of a batch"


def metric(facts: Facts) -> str:
    """Return what is compared: if jobs arrive at a rate, the makespan would only reflect the rate."""
    return COMPLETION if facts.comparison.arrival_rate_per_s else TIME_PER_JOB


def samples_of(facts: Facts) -> dict[str, Sample]:
    """Return the value of each round that counts, in seconds, by variant."""
    return {name: _sample(facts, pool) for name, pool in facts.pools.items()}


def _sample(facts: Facts, pool: VariantRuns) -> Sample:
    rate_per_s = facts.comparison.arrival_rate_per_s
    values = {batch.row.round: value_s(batch.row, batch.runs, rate_per_s) for batch in pool.counted}
    return {number: value for number, value in values.items() if value is not None}


def value_s(batch: Batch, jobs: Sequence[Run], rate_per_s: float | None) -> float | None:
    """Return what the answer compares of a batch, in seconds; None until every job has ended."""
    if rate_per_s:
        return _completion_s(batch, jobs, rate_per_s)
    return statistics.time_per_job(makespan_s(jobs), len(jobs))


def _completion_s(batch: Batch, jobs: Sequence[Run], rate_per_s: float) -> float | None:
    """Return the median seconds from when a job was due to its end: a late sender and retries count."""
    released = batch.released_at
    ended = [run for run in jobs if run.first_published_at is not None and run.finished_at is not None]
    if released is None or not ended:
        return None
    in_order = sorted(ended, key=lambda run: run.first_published_at or released)
    due = [released + timedelta(seconds=number / rate_per_s) for number in range(len(in_order))]
    return median(
        (run.finished_at - at).total_seconds()
        for run, at in zip(in_order, due, strict=True)
        if run.finished_at
    )


def pairs(ranking: Ranking, names: Sequence[str]) -> list[Pair]:
    """Return the outcome of every pair, in the order of the names."""
    measured = [name for name in names if name in (*ranking.candidates, *ranking.out)]
    return [
        pair(base, other, ranking.differences[base, other], ranking.margin)
        for base, other in combinations(measured, 2)
    ]


def pair(base: str, other: str, between: Difference, margin: float) -> Pair:
    """Return the outcome of `other` compared with `base`, by how many times as long `base` takes."""
    outcome, reason = _outcome(between, margin)
    return Pair(
        base=base, other=other, outcome=outcome, ratio=between.ratio, low=between.low, high=between.high,
        rounds=between.rounds, reason=reason,
    )  # fmt: skip


def _outcome(between: Difference, margin: float) -> tuple[Outcome, str]:
    low, high = between.low, between.high
    if low is None or high is None:
        return CANNOT_TELL, f"{statistics.FEWEST_ROUNDS} rounds are the fewest for an interval"
    if low > 1 + margin or high < 1 / (1 + margin):
        return (FASTER if low > 1 else SLOWER), ""
    if low >= 1 / (1 + margin) and high <= 1 + margin:
        return EQUALLY_FAST, f"within ±{margin * 100:.0f} %"
    return CANNOT_TELL, f"between {times(low)} and {times(high)}"
