"""Choose a pool from the figures of a report. Pure functions."""

from collections.abc import Sequence

from poolwise.lab.advice import sentences
from poolwise.lab.advice.kinds import COMPUTES, WAITS, is_stalled, least_contended_share, releases_gil
from poolwise.lab.report.figures import VariantFigures
from poolwise.lab.report.model import Advice, Pair, Report, outcome_between
from poolwise.lab.statistics import CANNOT_TELL, NO_DIFFERENCE

type Pools = Sequence[VariantFigures]


def advise(report: Report, cores: int) -> Advice | None:
    """Return the advice that the verdict supports, else advice by the kind of job; None without runs."""
    pools = [pool for pool in report.pools if pool.jobs_per_s]
    if not pools:
        return None
    share, proven = least_contended_share(pools), is_proven(report, pools)
    pool = best(pools, report.pairs) if proven else by_kind(pools, share, cores)
    slots = slots_for(report, pool, cores, share)
    first = sentences.proven(report, pool, slots) if proven else sentences.unproven(report, pool, slots)
    text = f"{first} {sentences.costs(pool, pools, cores)}"
    would_change = sentences.would_change(pool, share)
    return Advice(pool=pool.name, slots=slots, text=text, would_change=would_change, proven=proven)


def fastest_of(pools: Pools) -> VariantFigures:
    """Return the pool with the most jobs per second."""
    return max(pools, key=lambda pool: pool.jobs_per_s or 0.0)


def is_proven(report: Report, pools: Pools) -> bool:
    """Return whether the figures are valid and there is a verdict between the fastest pool and every other."""
    fastest = fastest_of(pools)
    rivals = [pool.name for pool in pools if pool is not fastest]
    distinct = (outcome_between(report.pairs, fastest.name, rival) != CANNOT_TELL for rival in rivals)
    return bool(report.validity.valid and rivals and all(distinct))


def best(pools: Pools, pairs: list[Pair]) -> VariantFigures:
    """Return the cheapest of the pools that are not detectably slower than the fastest.

    Pools without stalls come first, then those with less memory.
    """
    fastest = fastest_of(pools)
    equal = [
        pool
        for pool in pools
        if pool is fastest or outcome_between(pairs, fastest.name, pool.name) == NO_DIFFERENCE
    ]
    has_memory = all(pool.peak_memory_bytes for pool in equal)

    def cost(pool: VariantFigures) -> tuple[bool, int, float]:
        memory_bytes = (pool.peak_memory_bytes or 0) if has_memory else 0
        return is_stalled(pool), memory_bytes, -(pool.jobs_per_s or 0.0)

    return min(equal, key=cost)


def by_kind(pools: Pools, cpu_share: float | None, cores: int) -> VariantFigures:
    """Return the pool by rule of thumb: processes (or threads without the GIL) to compute, an event loop to wait."""
    if cpu_share is not None and cpu_share >= COMPUTES:
        order = ["threads"] if releases_gil(pools) and cores > 1 else ["prefork", "threads"]
    elif cpu_share is not None and cpu_share <= WAITS:
        order = ["gevent", "asyncio", "threads"]
    else:
        order = ["threads", "prefork"]
    without_stall = [pool for pool in pools if not is_stalled(pool)] or list(pools)
    matching = (pool for model in order for pool in without_stall if pool.model == model)
    return next(matching, fastest_of(without_stall))


def slots_for(report: Report, pool: VariantFigures, cores: int, cpu_share: float | None) -> int:
    """Return the slots to use: the knee of a sweep; for jobs that compute, the cores; else those that were used."""
    points = (report.sweep or {}).get(pool.name, [])
    knee = next((point.slots for point in points if point.is_knee), None)
    if knee is not None:
        return knee
    if cpu_share is not None and cpu_share >= COMPUTES:
        return max(1, min(cores, pool.slots or 1))
    measured = [batch for batch in pool.batches if batch.role == "measured" and not batch.void_reason]
    peak = max((batch.concurrency.peak for batch in measured), default=0)
    # A batch with fewer jobs than slots does not show that fewer slots are enough.
    is_informative = any(batch.jobs > batch.slots for batch in measured)
    return max(1, peak) if is_informative else pool.slots or 1
