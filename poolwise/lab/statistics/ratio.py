"""The statistics of a verdict: a ratio of medians with its interval, a rank test, Holm's correction.

NumPy and SciPy are imported on use: that takes most of a second, and only comparisons need them.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from poolwise.support import samples

#: The values of each round; rounds are clusters: values within a round are not independent.
type Rounds = Sequence[Sequence[float]]

_RESAMPLES = 4_999


@dataclass(frozen=True, slots=True)
class Interval:
    """A ratio with its 95 % interval; `low` and `high` are None for a single round."""

    ratio: float
    low: float | None = None
    high: float | None = None


def round_medians(rounds: Rounds) -> list[float]:
    """Return the median of the finite values of each round; rounds without any are left out."""
    return [median(kept) for values in rounds if (kept := samples.known(values))]


def ratio_interval(base: Sequence[float], other: Sequence[float], *, seed: int = 0) -> Interval:
    """Return median(base) / median(other) of round medians > 0, with a percentile bootstrap over rounds.

    If both sides have as many rounds, these are paired and drawn together. Raise ValueError if a side is empty.
    """
    if not base or not other:
        raise ValueError("Each side needs at least one round.")
    if (sorted(base), list(base)) > (
        sorted(other),
        list(other),
    ):  # so that swapping the sides gives exactly the inverse
        mirrored = ratio_interval(other, base, seed=seed)
        low, high = (None if end is None else 1 / end for end in (mirrored.high, mirrored.low))
        return Interval(1 / mirrored.ratio, low, high)
    ratio = median(base) / median(other)
    if min(len(base), len(other)) < 2:
        return Interval(ratio)
    low, high = _bootstrap([math.log(value) for value in base], [math.log(value) for value in other], seed)
    return Interval(ratio, math.exp(low), math.exp(high))


def _bootstrap(base: Sequence[float], other: Sequence[float], seed: int) -> tuple[float, float]:
    import numpy as np
    from scipy.stats import bootstrap

    result = bootstrap(
        (base, other),
        _log_ratio,
        paired=len(base) == len(other),
        vectorized=True,
        n_resamples=_RESAMPLES,
        confidence_level=0.95,
        method="percentile",
        rng=np.random.default_rng(abs(seed)),
    )
    return float(result.confidence_interval.low), float(result.confidence_interval.high)


def _log_ratio(base: Any, other: Any, axis: int = -1) -> Any:
    import numpy as np

    # In logarithms, the median of an even number of rounds is the geometric mean of the middle two.
    return np.median(base, axis=axis) - np.median(other, axis=axis)


def rank_test(base: Sequence[float], other: Sequence[float]) -> float:
    """Return the two-sided p-value of the Mann–Whitney U test, exact for small samples without ties.

    It is 1 if a side is empty or all values are equal, which SciPy does not handle.
    """
    from scipy.stats import mannwhitneyu

    if not base or not other or len({*base, *other}) == 1:
        return 1.0
    return float(mannwhitneyu(base, other, alternative="two-sided", method="auto").pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p-values corrected by Holm's step-down procedure (Holm, 1979), in the order given."""
    corrected, largest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, (len(p_values) - rank) * p_values[index])
        corrected[index] = min(1.0, largest)
    return corrected


def spread(values: Iterable[float | None]) -> float | None:
    """Return the interquartile range over the median; None for fewer than two values or a median of 0."""
    sample = samples.known(values)
    lower, middle, upper = (samples.quantile(sample, q) or 0.0 for q in (0.25, 0.5, 0.75))
    return (upper - lower) / middle if len(sample) > 1 and middle > 0 else None
