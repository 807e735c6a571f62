"""Whether a job waits or computes, from the figures of a comparison. Pure functions."""

from collections.abc import Sequence

from poolwise.lab.report.figures import VariantFigures
from poolwise.lab.validity.measured import MIN_STALL_S

#: A job with at most the first CPU share waits; with at least the second it computes.
WAITS, COMPUTES = 0.3, 0.7
#: Threads that use more than this many cores release the GIL.
RELEASES_GIL = 1.25


def least_contended_share(pools: Sequence[VariantFigures]) -> float | None:
    """Return the CPU share on the pool with the shortest run, which adds the least waiting of its own."""
    known = [pool for pool in pools if pool.cpu_share is not None and pool.run_s.p50]
    fastest = min(known, key=lambda pool: pool.run_s.p50 or 0.0, default=None)
    return None if fastest is None else fastest.cpu_share


def is_stalled(pool: VariantFigures) -> bool:
    """Return whether the pool's hub or event loop stalled for long."""
    return bool(pool.stall and pool.stall.max_s >= MIN_STALL_S)


def busy_cores(pool: VariantFigures) -> float | None:
    """Return how many cores the jobs used: their CPU seconds over the makespans."""
    spans = sum(pool.makespans_s)
    return pool.time.cpu_s / spans if spans else None


def releases_gil(pools: Sequence[VariantFigures]) -> bool | None:
    """Return whether the job computes on several cores at once in threads; None if no thread pool ran."""
    busy = [cores for pool in pools if pool.model == "threads" and (cores := busy_cores(pool)) is not None]
    return max(busy) > RELEASES_GIL if busy else None


def memory_per_slot_bytes(pool: VariantFigures) -> float | None:
    """Return the peak memory of the pool's processes over its slots."""
    return pool.peak_memory_bytes / pool.slots if pool.peak_memory_bytes and pool.slots else None
