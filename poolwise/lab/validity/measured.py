"""The validity checks that look at what was measured: use of slots, stalls, spread. Pure functions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from poolwise.lab.report.figures import Stall
from poolwise.lab.report.model import ValidityCheck
from poolwise.lab.validity.checks import failed, passed
from poolwise.support import percent, seconds

MAX_SPREAD = 0.10
#: A pool whose peak is at most this part of what it could reach is far below its slots.
FAR_BELOW = 0.5
#: A stall is noted from this length on, and from this part of the batch's makespan.
MIN_STALL_S = 0.1
MIN_STALL_SHARE = 0.05
_MIN_JOBS = 8
_WAITS = 0.5
_ONE_LOOP = ("gevent", "asyncio")


@dataclass(frozen=True, slots=True)
class Load:
    """One batch as the rule about slots sees it; `starts_s` are ordered, durations are seconds."""

    model: str
    slots: int
    jobs: int
    cores: int
    peak: int
    mean: float
    run_s: float
    cpu_s: float
    run_queue_s: float = 0.0
    overhead_s: float | None = None
    in_flight: int | None = None
    rate_per_s: float | None = None
    starts_s: Sequence[float] = ()


def reachable(load: Load) -> float:
    """Return how many jobs the batch could have had running at once.

    Little's law bounds it: jobs cannot run for `run_s` in larger numbers than are started meanwhile, and each
    start costs the worker the measured overhead and the job's own CPU time.
    """
    bounds: list[float] = [load.slots, load.jobs]
    bounds += [load.in_flight] if load.in_flight else []
    bounds += [load.rate_per_s * load.run_s] if load.rate_per_s else []
    hands = load.cores if load.model == "prefork" else 1
    cost_s = (load.overhead_s or 0.0) + load.cpu_s / hands
    bounds += [load.run_s / cost_s] if cost_s > 0 else []
    return max(1.0, min(bounds))


def _is_one_after_another(load: Load) -> bool:
    """Return whether jobs began when others ended, rather than as fast as they could be started."""
    if load.peak <= 1:
        return load.mean >= 0.7
    starts, peak = load.starts_s, load.peak
    if len(starts) < 2 * peak:
        return False
    first_gap_s = (starts[peak - 1] - starts[0]) / (peak - 1)
    later_gap_s = (starts[-1] - starts[peak - 1]) / (len(starts) - peak)
    return later_gap_s > 3 * first_gap_s


def is_far_below(load: Load) -> bool:
    """Return whether the batch ran far fewer jobs at once than its slots, the jobs and their costs allow."""
    if load.jobs < _MIN_JOBS or load.run_s <= 0:
        return False
    waits = 1 - (load.cpu_s + load.run_queue_s) / load.run_s
    if load.model in _ONE_LOOP and waits < _WAITS:
        return False  # a job that computes holds its loop: one at a time is what the pool is, not a fault
    return load.peak <= FAR_BELOW * reachable(load) and _is_one_after_another(load)


def concurrency(
    loads: Mapping[str, Sequence[Load]], slots: Mapping[str, tuple[int, int]] | None = None
) -> ValidityCheck:
    """Check each pool's batches, and the (live, declared) slots of each: one with fewer is not what it is called."""
    reasons = {}
    for pool, batches in loads.items():
        low = [load for load in batches if is_far_below(load)]
        if len(low) * 2 > len(batches):
            peak = max(load.peak for load in low)
            jobs = "job" if peak == 1 else "jobs"
            reasons[pool] = f"{pool} ran {peak} {jobs} at a time though it has {low[0].slots} slots"
    for pool, (live, declared) in (slots or {}).items():
        if live <= FAR_BELOW * declared:
            reasons.setdefault(pool, f"{pool} had {live} of its {declared} slots")
    return (
        failed("concurrency", f"{'; '.join(reasons.values())}.", reasons)
        if reasons
        else passed("concurrency")
    )


def is_notable(stall: Stall, makespan_s: float | None) -> bool:
    """Return whether a stall is long, also beside the batch."""
    return stall.max_s >= max(MIN_STALL_S, MIN_STALL_SHARE * (makespan_s or 0.0))


def stalls(longest: Mapping[str, Stall | None], makespans_s: Mapping[str, float | None]) -> ValidityCheck:
    """Check the pools' stalls: one that a job caused belongs to what is compared, another is a disturbance."""
    bad = {p: stall for p, stall in longest.items() if stall and is_notable(stall, makespans_s.get(p))}
    if not bad:
        return passed("stalls")
    foreign = [pool for pool, stall in bad.items() if stall.caused_by is None]
    shown = ", ".join(
        f"{pool} for {seconds(stall.max_s)}"
        + (f", by its job {stall.caused_by[:8]}" if stall.caused_by else "")
        for pool, stall in bad.items()
    )
    return failed("stalls", f"Stalled: {shown}.", foreign or bad, matters=bool(foreign))


def spread(
    spreads: Mapping[str, float | None], ratios: Mapping[str, float | None], baseline: str
) -> ValidityCheck:
    """Check the relative spread of each pool's rounds; it matters where it could explain the difference."""
    wide = {pool: value for pool, value in spreads.items() if value is not None and value > MAX_SPREAD}
    if not wide:
        return passed("spread")
    shown = ", ".join(f"{pool} {percent(value)}" for pool, value in wide.items())
    text = f"The rounds of a pool differ by more than {percent(MAX_SPREAD)}: {shown}."
    noise = {pool: max(wide.get(pool, 0.0), wide.get(baseline, 0.0)) for pool in ratios}
    drowned = [pool for pool, ratio in ratios.items() if ratio and _distance(ratio) < noise[pool]]
    return failed("spread", text, drowned or wide, matters=bool(drowned))


def _distance(ratio: float) -> float:
    """Return by which part the slower of two takes longer."""
    return max(ratio, 1 / ratio) - 1
