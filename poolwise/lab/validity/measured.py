"""Validity checks of the measurements: use of slots, stalls, spread. Pure functions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from poolwise.lab.report.figures import Stall
from poolwise.lab.report.model import ValidityCheck
from poolwise.lab.validity.checks import failed, passed
from poolwise.support import percent, seconds

MAX_SPREAD = 0.10
#: A pool whose peak is at most this share of what it could reach is far below its slots.
FAR_BELOW = 0.5
#: The shortest stall that is reported, in seconds and as a share of the makespan.
MIN_STALL_S = 0.1
MIN_STALL_SHARE = 0.05
_MIN_JOBS = 8
_WAITS = 0.5
ONE_LOOP = ("gevent", "asyncio")


@dataclass(frozen=True, slots=True)
class Load:
    """A batch, for the check of the slots; `starts_s` are sorted, durations are seconds."""

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
    """Return how many jobs of the batch could have run at once.

    Little's law limits it: at most as many jobs run at once as start within `run_s`, and each start takes the measured
    overhead and the job's own CPU time.
    """
    limits: list[float] = [load.slots, load.jobs]
    limits += [load.in_flight] if load.in_flight else []
    limits += [load.rate_per_s * load.run_s] if load.rate_per_s else []
    cores = load.cores if load.model == "prefork" else 1
    cost_s = (load.overhead_s or 0.0) + load.cpu_s / cores
    limits += [load.run_s / cost_s] if cost_s > 0 else []
    return max(1.0, min(limits))


def _is_one_after_another(load: Load) -> bool:
    """Return whether jobs started when others ended, rather than as fast as possible."""
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
    if load.model in ONE_LOOP and waits < _WAITS:
        return False  # a job that computes blocks its loop: one at a time is how the pool works, not a fault
    return load.peak <= FAR_BELOW * reachable(load) and _is_one_after_another(load)


def concurrency(
    loads: Mapping[str, Sequence[Load]], slots: Mapping[str, tuple[int, int]] | None = None
) -> ValidityCheck:
    """Check how many slots each pool used, and its (live, declared) slots."""
    reasons = {}
    for pool, batches in loads.items():
        low = [load for load in batches if is_far_below(load)]
        if len(low) * 2 > len(batches):
            peak = max(load.peak for load in low)
            jobs = "job" if peak == 1 else "jobs"
            reasons[pool] = f"{pool} ran {peak} {jobs} at a time although it has {low[0].slots} slots"
    for pool, (live, declared) in (slots or {}).items():
        if live <= FAR_BELOW * declared:
            reasons.setdefault(pool, f"{pool} had {live} of its {declared} slots")
    return (
        failed("concurrency", f"{'; '.join(reasons.values())}.", reasons)
        if reasons
        else passed("concurrency")
    )


def is_notable(stall: Stall, makespan_s: float | None) -> bool:
    """Return whether a stall is long, also relative to the batch."""
    return stall.max_s >= max(MIN_STALL_S, MIN_STALL_SHARE * (makespan_s or 0.0))


def stalls(longest: Mapping[str, Stall | None], makespans_s: Mapping[str, float | None]) -> ValidityCheck:
    """Check the stalls of the pools; a warning: a job that stalls its loop is how it runs on that pool."""
    notable = {p: stall for p, stall in longest.items() if stall and is_notable(stall, makespans_s.get(p))}
    if not notable:
        return passed("stalls")
    shown = ", ".join(
        f"{pool} for {seconds(stall.max_s)}"
        + (f", by its job {stall.caused_by[:8]}" if stall.caused_by else "")
        for pool, stall in notable.items()
    )
    return failed("stalls", f"Stalled: {shown}.", notable, matters=False)


def spread(spreads: Mapping[str, float | None]) -> ValidityCheck:
    """Check by how much the rounds of a pool differ; a warning: the interval of its ratio is wider for it."""
    wide = {pool: value for pool, value in spreads.items() if value is not None and value > MAX_SPREAD}
    if not wide:
        return passed("spread")
    shown = ", ".join(f"{pool} {percent(value)}" for pool, value in wide.items())
    text = (
        f"The rounds of a pool differ by more than {percent(MAX_SPREAD)}, which widens its interval: {shown}."
    )
    return failed("spread", text, wide, matters=False)
