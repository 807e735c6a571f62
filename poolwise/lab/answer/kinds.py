"""Whether a job waits or computes, from the figures of a comparison. Pure functions."""

from collections.abc import Sequence

from poolwise import metering
from poolwise.lab.report.figures import VariantFigures
from poolwise.lab.validity.measured import MIN_STALL_S

#: A job that computes for at most the first share of its run waits; for at least the second, it computes.
WAITS, COMPUTES = 0.3, 0.7
#: Threads that use more than this many cores release the GIL.
RELEASES_GIL = 1.25
#: Where more of the run than this share is not split into its waits, they are unknown.
_UNSPLIT = 0.2
#: A job whose run is a smaller share of its time per job costs mostly overhead.
_TINY = 0.2


def computing_share(pools: Sequence[VariantFigures]) -> float | None:
    """Return the share of the run that the job computes, on the pool with the shortest run, which adds the least waiting.

    Waiting for a core or for the GIL counts as computing, so a pool that cannot tell these from other waits comes last.
    """
    known = [pool for pool in pools if _own_share(pool) is not None and pool.run_s.p50]
    clearest = min(known, key=lambda pool: (not _is_split(pool), pool.run_s.p50 or 0.0), default=None)
    return None if clearest is None else _own_share(clearest)


def _own_share(pool: VariantFigures) -> float | None:
    time = pool.time
    return metering.computing_share(_run_s(pool), time.cpu_s, time.run_queue_s, time.gil_wait_s)


def _is_split(pool: VariantFigures) -> bool:
    return pool.time.unattributed_s <= _UNSPLIT * _run_s(pool)


def _run_s(pool: VariantFigures) -> float:
    time = pool.time
    return time.cpu_s + time.run_queue_s + time.gil_wait_s + time.blocked_s + time.unattributed_s


def is_tiny(pool: VariantFigures) -> bool:
    """Return whether a job of the pool costs mostly overhead: its slots are idle while messages are handled."""
    seconds_per_job = 1 / pool.jobs_per_s if pool.jobs_per_s else 0.0
    return pool.run_s.p50 is not None and pool.run_s.p50 < _TINY * seconds_per_job


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
