"""Compute the figures of a comparison: of each batch, and of each pool over its rounds."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, cast

from django.conf import settings

from poolwise.lab import statistics
from poolwise.lab.report import pairs
from poolwise.lab.report.facts import Facts, MeasuredBatch, VariantRuns
from poolwise.lab.report.figures import BatchFigures, Percentiles, Role, Stall, TimeSums, VariantFigures
from poolwise.lab.report.runs import Run
from poolwise.models import ENDED, JobState
from poolwise.reports import PARTS, time_split
from poolwise.support import quantile, share

#: A job with a smaller CPU share waits for most of its run.
_COMPUTES = 0.5


def all_figures(facts: Facts) -> list[VariantFigures]:
    """Return the figures of every pool, with its speed-up over the slowest, by jobs per second."""
    pools = [pool_figures(facts, pool) for pool in facts.pools.values()]
    slowest = min((pool.jobs_per_s for pool in pools if pool.jobs_per_s), default=0.0)
    return [
        pool.model_copy(
            update={"speed_up": pool.jobs_per_s / slowest if pool.jobs_per_s and slowest else None}
        )
        for pool in pools
    ]


def pool_figures(facts: Facts, pool: VariantRuns) -> VariantFigures:
    """Return the figures of a pool and of its batches."""
    runs, batches = pool.runs, [batch_figures(facts, batch) for batch in pool.batches]
    states = Counter(run.state for run in runs)
    declared = settings.JOB_POOLS.get(pool.pool, {}).get("concurrency")
    return VariantFigures(
        name=pool.name,
        pool=pool.pool,
        model=pool.model,
        slots=pool.slots if pool.counted else declared,
        jobs=len(runs),
        succeeded=states[JobState.SUCCEEDED],
        failed=states[JobState.FAILED],
        cancelled=states[JobState.CANCELLED],
        unfinished=sum(count for state, count in states.items() if state not in ENDED),
        makespan_s=pool.makespan_s,
        makespans_s=pool.makespans_s,
        **_spreads(runs),
        cpu_s=_spread(run.cpu_s for run in runs),
        cpu_share=_cpu_share(runs),
        jobs_per_s=jobs_per_s(pool.counted),
        batches=batches,
        time=time_sums(runs),
        overhead_s=pool.overhead_s,
        stall=stall_of(pool),
        peak_memory_bytes=max((batch.peak_memory_bytes or 0 for batch in batches), default=0) or None,
    )


def batch_figures(facts: Facts, batch: MeasuredBatch) -> BatchFigures:
    """Return the figures of a batch."""
    row, jobs, makespan_s = batch.row, len(batch.runs), batch.makespan_s
    ideal_s = ideal_makespan_s(facts, batch)
    return BatchFigures(
        round=row.round,
        role=cast(Role, str(row.role)),
        counts=batch.counts,
        slots=batch.slots,
        jobs=jobs,
        makespan_s=makespan_s,
        jobs_per_s=jobs / makespan_s if makespan_s else None,
        succeeded=sum(run.state == JobState.SUCCEEDED for run in batch.runs),
        failed=sum(run.state == JobState.FAILED for run in batch.runs),
        **_spreads(batch.runs),
        cpu_s_pool=batch.probe.cpu_s,
        peak_memory_bytes=batch.probe.peak_memory_bytes,
        db_connections=batch.probe.db_connections,
        concurrency=statistics.achieved_concurrency(batch.intervals()),
        efficiency=ideal_s / makespan_s if ideal_s and makespan_s else None,
        ideal_makespan_s=ideal_s,
        void_reason=row.void_reason,
        value_s=pairs.value_s(row, batch.runs, facts.comparison.arrival_rate_per_s),
        yardstick_s=row.probe.get("yardstick_s"),
    )


def _spreads(runs: Sequence[Run]) -> dict[str, Any]:
    return {
        name: _spread(getattr(run, name) for run in runs)
        for name in ("run_s", "broker_wait_s", "worker_wait_s")
    }


def _spread(values: Iterable[float | None]) -> Percentiles:
    # Programs read these next to `jobs`, so they are given for small samples too, unlike on a page.
    sample = list(values)
    return Percentiles(p50=quantile(sample, 0.5), p95=quantile(sample, 0.95))


def _cpu_share(runs: Sequence[Run]) -> float | None:
    return share([run.cpu_s for run in runs], [run.run_s for run in runs])


def ideal_makespan_s(facts: Facts, batch: MeasuredBatch) -> float | None:
    """Return the makespan of a pool without overhead, in seconds; None for an empty batch.

    Jobs that wait: ceil(jobs / slots) times the median run. Jobs that compute: CPU seconds over cores. Jobs that
    arrive at a rate: the last arrival plus a run.
    """
    run_s = quantile([run.run_s for run in batch.runs], 0.5)
    if run_s is None:
        return None
    jobs, comparison = len(batch.runs), facts.comparison
    if comparison.arrival_rate_per_s:
        return float((jobs - 1) / comparison.arrival_rate_per_s + run_s)
    return statistics.ideal_makespan_s(
        waiting=(_cpu_share(batch.runs) or 0.0) < _COMPUTES,
        jobs=jobs,
        slots=min(batch.slots, comparison.in_flight or batch.slots),
        run_p50_s=run_s,
        cpu_total_s=sum(run.cpu_s or 0.0 for run in batch.runs),
        cores=facts.cores,
    )


def jobs_per_s(batches: Iterable[MeasuredBatch]) -> float | None:
    """Return the jobs per second, the median over batches."""
    return quantile([len(batch.runs) / span_s for batch in batches if (span_s := batch.makespan_s)], 0.5)


def time_sums(runs: Sequence[Run]) -> TimeSums:
    """Return the parts of the run time of all jobs; they add up to the sum of `run_s`."""
    splits = [time_split(cast(Any, run)) for run in runs]  # a Run has the columns of a Job that it needs
    return TimeSums(**{f"{part}_s": float(sum(split.get(part, 0.0) for split in splits)) for part in PARTS})


def stall_of(pool: VariantRuns) -> Stall | None:
    """Return the longest stall of the pool's hub or event loop during its jobs; None if not measured."""
    stalled = [run for run in pool.runs if run.stall_s is not None or run.caused_stall_s is not None]
    if not stalled:
        return None
    cause = max(stalled, key=lambda run: run.caused_stall_s or 0.0)
    longest_s = max(max(run.stall_s or 0.0, run.caused_stall_s or 0.0) for run in stalled)
    is_named = (cause.caused_stall_s or 0.0) >= 0.5 * longest_s > 0
    return Stall(max_s=longest_s, caused_by=str(cause.id) if is_named else None)
