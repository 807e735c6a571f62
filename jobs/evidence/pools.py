"""The figures of one pool over its rounds, as the evidence holds them."""

from collections.abc import Sequence
from typing import Any, cast

from jobs import reports
from jobs.evidence.blocks import block_figures
from jobs.evidence.effects import Stall
from jobs.evidence.facts import Facts, Pool
from jobs.reports import Run
from jobs.statistics import quantile
from jobs.time_split import PARTS, time_split


def pool_figures(facts: Facts, pool: Pool) -> dict[str, Any]:
    """Return a pool in figures, with its blocks."""
    slots = pool.slots if pool.counted else None
    figures = reports.pool_figures(pool.name, pool.runs, slots=slots, pool=pool.pool)
    blocks = [block_figures(facts, found) for found in pool.blocks]
    memory = max((block["peak_memory_bytes"] or 0 for block in blocks), default=0) or None
    stall = stall_of(pool)
    return {
        **figures,
        "jobs_per_s": jobs_per_s(pool),
        "blocks": blocks,
        "time": time_sums(pool.runs),
        "overhead_s": pool.overhead_s,
        "stall": {"max_s": stall.max_s, "caused_by": stall.caused_by} if stall else None,
        "peak_memory_bytes": memory,
    }


def jobs_per_s(pool: Pool) -> float | None:
    """Return the median over the blocks that count of jobs a second."""
    spans = [(len(found.runs), found.figures["makespan_s"]) for found in pool.counted]
    return quantile([jobs / span_s for jobs, span_s in spans if span_s], 0.5)


def time_sums(runs: Sequence[Run]) -> dict[str, float]:
    """Return what the run seconds of the jobs went to; the parts add up to the sum of `run_s`.

    `unknown_s` is what cannot be told apart, job by job.
    """
    splits = [time_split(cast(Any, run)) for run in runs]  # a Run has the columns of a Job that it asks for
    return {f"{part}_s": float(sum(split.get(part, 0.0) for split in splits)) for part in PARTS}


def stall_of(pool: Pool) -> Stall | None:
    """Return the longest stall of the pool's hub or loop during its jobs; None when none was measured."""
    stalled = [run for run in pool.runs if run.stall_s is not None or run.caused_stall_s is not None]
    if not stalled:
        return None
    culprit = max(stalled, key=lambda run: run.caused_stall_s or 0.0)
    longest_s = max(max(run.stall_s or 0.0, run.caused_stall_s or 0.0) for run in stalled)
    is_named = (culprit.caused_stall_s or 0.0) >= 0.5 * longest_s > 0
    makespan_s = quantile([found.figures["makespan_s"] for found in pool.counted], 0.5)
    return Stall(longest_s, str(culprit.id) if is_named else None, makespan_s)
