"""The sentences of the advice, and what would change it."""

from collections.abc import Sequence

from poolwise.lab.advice.kinds import (
    COMPUTES,
    WAITS,
    busy_cores,
    least_contended_share,
    memory_per_slot_bytes,
    releases_gil,
)
from poolwise.lab.report.figures import VariantFigures
from poolwise.lab.report.model import Pair, Report, outcome_between
from poolwise.lab.statistics import CANNOT_TELL, FASTER, NO_DIFFERENCE
from poolwise.lab.validity.measured import ONE_LOOP
from poolwise.support import count, percent, rate, seconds

_MB = 1_000_000


def proven(report: Report, pool: VariantFigures, slots: int) -> str:
    """Return the advice that the verdict supports."""
    pools = [other for other in report.pools if other.jobs_per_s]
    text = f"Run it on {pool.name} with {count(slots, 'slot')}: {kind(least_contended_share(pools))}"
    text = f"{text}, and it did {rate(pool.jobs_per_s or 0.0)} jobs/s"
    rival = max((other for other in pools if other is not pool), key=lambda other: other.jobs_per_s or 0.0)
    is_equal = outcome_between(report.pairs, pool.name, rival.name) == NO_DIFFERENCE
    against = f"{rate(rival.jobs_per_s or 0.0)} on {rival.name}{', no difference detected' * is_equal}"
    verdict = report.verdicts.get(pool.name)
    if not verdict or verdict.outcome != FASTER:
        return f"{text} against {against}."
    interval = f"95 % CI {number(verdict.low)}–{number(verdict.high)}"
    text = f"{text}, {number(verdict.ratio)}× {report.baseline} ({interval})"
    # Explains why the fastest is not the recommended one.
    return f"{text}, against {against}." if is_equal else f"{text}."


def unproven(report: Report, pool: VariantFigures, slots: int) -> str:
    """Return the advice without a verdict."""
    share = least_contended_share(report.pools)
    if len(report.pools) == 1 and report.has_knee(pool.name, slots):
        return f"Its sweep levels off at {count(slots, 'slot')}: {kind(share)}. No other pool was compared."
    return (
        f"Judging by the kind of job alone, {pool.name} with {count(slots, 'slot')}: {kind(share)}, "
        f"but {_why_unproven(report)}."
    )


def _why_unproven(report: Report) -> str:
    """Return which check fails, else which pools have no verdict."""
    undecided = [pair for pair in report.pairs if pair.outcome == CANNOT_TELL]
    if report.validity.valid and len(undecided) < len(report.pairs):
        return _undecided_rival(report, undecided)
    reasons = [check.reason for check in report.validity.checks if check.withholds]
    reasons += [*(pair.reason for pair in undecided), "no other pool was compared"]
    return f"there is no verdict ({reasons[0].rstrip('.')})"


def _undecided_rival(report: Report, undecided: Sequence[Pair]) -> str:
    """Return the pool without a verdict against the fastest, while others have one."""
    fastest = max(report.pools, key=lambda pool: pool.jobs_per_s or 0.0).name
    for pair in undecided:
        if fastest in (pair.base, pair.other):
            rival = pair.base if fastest == pair.other else pair.other
            return f"there is no verdict between {fastest} and {rival} ({pair.reason.rstrip('.')})"
    return f"there is no verdict between {fastest} and some others"


def kind(cpu_share: float | None) -> str:
    """Return how a job spends its time."""
    if cpu_share is None:
        return "how it spends its time was not measured"
    if cpu_share <= WAITS:
        return f"the job waits for {percent(1 - min(1.0, cpu_share))} of its run"
    if cpu_share >= COMPUTES:
        return f"the job is on a core for {percent(cpu_share)} of its run"
    return f"the job computes for {percent(cpu_share)} of its run and waits for the rest"


def costs(pool: VariantFigures, pools: Sequence[VariantFigures], cores: int) -> str:
    """Return the sentence on memory, stalls and the GIL, as far as measured."""
    parts = [part for part in (_memory(pool, pools), _stall(pool), _gil(pools, cores)) if part]
    if not parts:
        parts = [f"the median run took {seconds(pool.run_s.p50)} there"]
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}."


def _memory(pool: VariantFigures, pools: Sequence[VariantFigures]) -> str:
    each = {other.name: memory_per_slot_bytes(other) for other in pools}
    own = each.pop(pool.name)
    most = max(((value, name) for name, value in each.items() if value), default=None)
    if own is None:
        return ""
    text = f"a slot takes {_mb(own)} there"
    return f"{text} and {_mb(most[0])} on {most[1]}" if most else text


def _mb(size_bytes: float) -> str:
    size = size_bytes / _MB
    return f"{size:.0f} MB" if size >= 10 else f"{size:.2g} MB"


def _stall(pool: VariantFigures) -> str:
    if pool.model not in ONE_LOOP or not pool.stall:
        return ""
    what = "hub" if pool.model == "gevent" else "loop"
    return f"its {what} stalled for {seconds(pool.stall.max_s)} at most"


def _gil(pools: Sequence[VariantFigures], cores: int) -> str:
    released, share = releases_gil(pools), least_contended_share(pools)
    if released is None or cores < 2 or share is None or share < COMPUTES:
        return ""
    busy = max(busy_cores(pool) or 0.0 for pool in pools if pool.model == "threads")
    lock = "released" if released else "held"
    return f"in threads it used {busy:.1f} of {cores} cores, so the GIL is {lock}"


def would_change(pool: VariantFigures, cpu_share: float | None) -> str:
    """Return what would make another pool the better choice."""
    if pool.model in ONE_LOOP:
        now = f" (now {percent(cpu_share)})" if cpu_share is not None else ""
        return (
            f"If the job computes for more than {percent(WAITS)} of its run{now}, or calls something that does not yield, "
            "it blocks the other jobs of its worker: then use threads or prefork."
        )
    if cpu_share is not None and cpu_share >= COMPUTES:
        if pool.model == "threads":
            return "If the code holds the GIL where a library now releases it, use prefork."
        return "If jobs mostly wait, use gevent, asyncio or threads instead."
    if pool.model == "prefork":
        return "With more jobs at once than there is memory for processes, or with longer waits, use threads or gevent."
    return "With many more waiting jobs, use gevent or asyncio; with more computing, prefork."


def number(ratio: float | None) -> str:
    """Return a ratio with two or three significant digits."""
    return "–" if ratio is None else f"{ratio:.2f}" if ratio < 2 else f"{ratio:.1f}"
