"""What kind of waiting a job does, read from a comparison's figures. Pure functions."""

from collections.abc import Sequence

from poolwise.lab.report.figures import VariantFigures
from poolwise.lab.validity.measured import MIN_STALL_S

#: A job that is on a core for at most this part of its run waits; from the other on it computes.
WAITS, COMPUTES = 0.3, 0.7
#: Threads that keep more than this many cores busy release the interpreter's lock.
RELEASES_GIL = 1.25
ONE_LOOP = ("gevent", "asyncio")


def least_contended_share(pools: Sequence[VariantFigures]) -> float | None:
    """Return the CPU share where a run took least: there the job's own waiting is not mixed with its pool's."""
    known = [pool for pool in pools if pool.cpu_share is not None and pool.run_s.p50]
    fastest = min(known, key=lambda pool: pool.run_s.p50 or 0.0, default=None)
    return None if fastest is None else fastest.cpu_share


def is_stalled(pool: VariantFigures) -> bool:
    """Return whether the pool's hub or loop was held up for long."""
    return bool(pool.stall and pool.stall.max_s >= MIN_STALL_S)


def busy_cores(pool: VariantFigures) -> float | None:
    """Return how many cores the jobs kept busy: their CPU seconds over the makespans."""
    spans = sum(pool.makespans_s)
    return pool.time.cpu_s / spans if spans else None


def releases_gil(pools: Sequence[VariantFigures]) -> bool | None:
    """Return whether the job computes on several cores at once in threads; None where no thread pool ran."""
    busy = [cores for pool in pools if pool.model == "threads" and (cores := busy_cores(pool)) is not None]
    return max(busy) > RELEASES_GIL if busy else None


def memory_per_slot_bytes(pool: VariantFigures) -> float | None:
    """Return the peak memory of the pool's processes over its slots."""
    return pool.peak_memory_bytes / pool.slots if pool.peak_memory_bytes and pool.slots else None
