"""Which of several equally fast pools to take: the one that costs least, with the reason in words. Pure functions."""

from collections.abc import Callable, Sequence

from poolwise.lab.answer.kinds import COMPUTES, computing_share, is_stalled, memory_per_slot_bytes
from poolwise.lab.report.figures import VariantFigures
from poolwise.pools import limits
from poolwise.support import megabytes

#: Memory per slot that differs by less does not decide.
_ALIKE = 1.25


def cheapest(pools: Sequence[VariantFigures]) -> tuple[VariantFigures, str]:
    """Return the pool to take, and why: no stalls, then memory per slot, then limits; else the first, which is fastest."""
    calm = [pool for pool in pools if not is_stalled(pool)] or list(pools)
    computes = (computing_share(pools) or 0.0) >= COMPUTES
    # A job that computes needs a slot for each core only, however many the pool has: its processes are what it costs.
    size_bytes = _memory_bytes if computes else memory_per_slot_bytes
    frugal = _with_least_memory(calm, size_bytes)
    firm = _with_most_limits(frugal, limits.COMPUTES if computes else limits.WAITS)
    chosen = firm[0]
    reasons = ["its loop does not stall"] if len(calm) < len(pools) else []
    if len(frugal) < len(calm):
        per_slot = "" if computes else " per slot"
        reasons.append(f"least memory{per_slot} ({megabytes(size_bytes(chosen) or 0.0)})")
    if len(firm) < len(frugal):
        reasons.append("a limit ends one job without a restart of the worker")
    return chosen, " and ".join(reasons[:2]) or "the fastest of them in these rounds"


def _memory_bytes(pool: VariantFigures) -> float | None:
    return pool.peak_memory_bytes


def _with_least_memory(
    pools: Sequence[VariantFigures], size_bytes: Callable[[VariantFigures], float | None]
) -> list[VariantFigures]:
    sizes = [size_bytes(pool) for pool in pools]
    known = [size for size in sizes if size is not None]
    if len(known) < len(pools):
        return list(pools)
    return [pool for pool, size in zip(pools, known, strict=True) if size <= _ALIKE * min(known)]


def _with_most_limits(pools: Sequence[VariantFigures], activity: str) -> list[VariantFigures]:
    enforced = [_enforced(pool.model, activity) for pool in pools]
    return [pool for pool, number in zip(pools, enforced, strict=True) if number == max(enforced)]


def _enforced(model: str, activity: str) -> int:
    """Return how many interrupts end a plain function during that activity; a pool of an unknown model has none."""
    if model not in ("prefork", "threads", "gevent", "asyncio"):
        return 0
    of_model = (
        limits.support(model, interrupt, limits.FUNCTION, activity) for interrupt in limits.INTERRUPTS
    )
    return sum(effect == limits.Support.ENFORCED for effect in of_model)
