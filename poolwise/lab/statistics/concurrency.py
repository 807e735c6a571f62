"""How many jobs ran at once, the ideal makespan, and the knee: the slots beyond which more do not help."""

import math
from collections.abc import Iterable, Sequence

from poolwise.support import Count, Frozen, Number

#: A curve that rises above its chord by less than this share of its range has no knee (normalised as in Kneedle).
_FLAT = 0.1


class Concurrency(Frozen):
    """Runs at once: the maximum, and the average over time."""

    peak: Count
    mean: Number


def achieved_concurrency(intervals: Iterable[tuple[float, float]]) -> Concurrency:
    """Return how many of the intervals `(start, end)` in seconds overlap; touching is not overlapping.

    The average is from the first start to the last end. An interval that ends before it starts is left out.
    """
    kept = [(start, end) for start, end in intervals if end >= start]
    if not kept:
        return Concurrency(peak=0, mean=0.0)
    length_s = max(end for _, end in kept) - min(start for start, _ in kept)
    peak = max(1, *(running for _, running in running_over_time(kept)))
    mean = sum(end - start for start, end in kept) / length_s if length_s else 1.0
    return Concurrency(peak=peak, mean=mean)


def running_over_time(intervals: Iterable[tuple[float, float]]) -> list[tuple[float, int]]:
    """Return `(seconds since the first start, how many run from then on)` at each change; empty for no intervals."""
    kept = [(start, end) for start, end in intervals if end >= start]
    if not kept:
        return []
    begin = min(start for start, _ in kept)
    changes = [(start, 1) for start, end in kept if end > start]
    changes += [(end, -1) for start, end in kept if end > start]
    counts: dict[float, int] = {0.0: 0}
    running = 0
    for moment, change in sorted(changes):  # at the same moment -1 sorts before +1
        running += change
        counts[moment - begin] = running
    return list(counts.items())


def ideal_makespan_s(
    *, waiting: bool, jobs: int, slots: int, run_p50_s: float, cpu_total_s: float, cores: int
) -> float:
    """Return the makespan of a pool without overhead, in seconds.

    Jobs that wait: ⌈jobs / slots⌉ times the median run. Jobs that compute: their CPU seconds over the cores that the
    slots can use.
    """
    if waiting:
        return math.ceil(jobs / max(1, slots)) * run_p50_s
    return cpu_total_s / max(1, min(cores, slots))


def knee(points: Sequence[tuple[float, float]]) -> int | None:
    """Return the index of the `(slots, jobs per second)` beyond which more slots do not help, or None.

    The points come in the order of their slots. Source: the Kneedle algorithm (Satopää et al., 2011), without its
    smoothing: the point furthest above the chord from the first to the best rate.
    """
    if len(points) < 3:
        return None
    rates = [rate for _, rate in points]
    best, first_rate = max(rates), rates[0]
    first, last = points[0][0], points[-1][0]
    if best <= first_rate or last <= first:
        return None
    above = [
        (rate - first_rate) / (best - first_rate) - (slots - first) / (last - first) for slots, rate in points
    ]
    highest = max(range(len(points)), key=above.__getitem__)
    return highest if above[highest] > _FLAT else None
