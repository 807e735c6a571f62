"""Why the recommended pool fits the job, and what would change it: kind of job, memory, stalls, the GIL."""

from collections.abc import Sequence

from poolwise.lab.answer.kinds import (
    COMPUTES,
    WAITS,
    busy_cores,
    computing_share,
    memory_per_slot_bytes,
    releases_gil,
)
from poolwise.lab.report.figures import VariantFigures
from poolwise.lab.validity.measured import ONE_LOOP
from poolwise.support import megabytes, percent, seconds


def why(pool: VariantFigures, pools: Sequence[VariantFigures], cores: int) -> str:
    """Return one or two sentences on the kind of job and on what the pool costs."""
    parts = [part for part in (_memory(pool, pools), _stall(pool), _gil(pools, cores)) if part]
    text = "; ".join(parts)
    return f"{kind(computing_share(pools))}. {text[:1].upper()}{text[1:]}.".removesuffix(" .")


def kind(share: float | None) -> str:
    """Return how a job spends its time."""
    if share is None:
        return "How the job spends its time was not measured"
    if share <= WAITS:
        return f"The job waits for {percent(1 - min(1.0, share))} of its run"
    if share >= COMPUTES:
        return f"The job computes for {percent(min(1.0, share))} of its run"
    return f"The job computes for {percent(share)} of its run and waits for the rest"


def _memory(pool: VariantFigures, pools: Sequence[VariantFigures]) -> str:
    each = {other.name: memory_per_slot_bytes(other) for other in pools}
    own = each.pop(pool.name)
    most = max(((value, name) for name, value in each.items() if value), default=None)
    if own is None:
        return ""
    text = f"a slot takes {megabytes(own)} there"
    return f"{text} and {megabytes(most[0])} on {most[1]}" if most else text


def _stall(pool: VariantFigures) -> str:
    if pool.model not in ONE_LOOP or not pool.stall:
        return ""
    what = "hub" if pool.model == "gevent" else "loop"
    return f"its {what} stalled for {seconds(pool.stall.max_s)} at most"


def _gil(pools: Sequence[VariantFigures], cores: int) -> str:
    released, share = releases_gil(pools), computing_share(pools)
    if released is None or cores < 2 or share is None or share < COMPUTES:
        return ""
    busy = max(busy_cores(pool) or 0.0 for pool in pools if pool.model == "threads")
    lock = "released" if released else "held"
    return f"in threads it used {busy:.1f} of {cores} cores, so the GIL is {lock}"


def would_change(pool: VariantFigures, share: float | None) -> str:
    """Return what would make another pool the better choice."""
    if pool.model in ONE_LOOP:
        now = f" (now {percent(min(1.0, share))})" if share is not None else ""
        return (
            f"If the job computes for more than {percent(WAITS)} of its run{now}, or calls something that does not yield, "
            "it blocks the other jobs of its worker: then use threads or prefork."
        )
    if share is not None and share >= COMPUTES:
        if pool.model == "threads":
            return "If the code holds the GIL where a library now releases it, use prefork."
        return "If jobs mostly wait, use gevent, asyncio or threads instead."
    if pool.model == "prefork":
        return "With more jobs at once than there is memory for processes, or with longer waits, use threads or gevent."
    return "With many more waiting jobs, use gevent or asyncio; with more computing, prefork."
