"""Samples of durations in figures that the sample can bear."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: The fewest values that show a percentile: below, it would only repeat the largest value.
MIN_VALUES = {0.5: 1, 0.95: 20, 0.99: 100}


@dataclass(frozen=True, slots=True)
class Summary:
    """A sample in a few figures; a percentile that the sample is too small for is None."""

    n: int
    mean: float | None = None
    minimum: float | None = None
    p50: float | None = None
    p95: float | None = None
    p99: float | None = None
    maximum: float | None = None


def known(values: Iterable[float | None]) -> NDArray[np.float64]:
    """Return the values that are finite numbers; None and NaN stand for what was not measured."""
    if not isinstance(values, np.ndarray):
        values = np.fromiter((np.nan if value is None else value for value in values), dtype=np.float64)
    return values[np.isfinite(values)]


def quantile(values: Iterable[float | None], q: float) -> float | None:
    """Return the q-quantile with linear interpolation (Hyndman and Fan, 1996, type 7), or None of nothing."""
    sample = known(values)
    return float(np.quantile(sample, q)) if sample.size else None


def supported_quantile(values: Iterable[float | None], q: float) -> float | None:
    """Return the q-quantile, or None when the sample is too small to show it."""
    sample = known(values)
    needed = MIN_VALUES.get(q) or int(np.ceil(1 / (1 - q)))
    return quantile(sample, q) if sample.size >= needed else None


def summary(values: Iterable[float | None]) -> Summary:
    """Return the sample in a few figures; of an empty sample only `n` is known."""
    sample = known(values)
    if not sample.size:
        return Summary(n=0)
    return Summary(
        n=int(sample.size),
        mean=float(sample.mean()),
        minimum=float(sample.min()),
        p50=supported_quantile(sample, 0.5),
        p95=supported_quantile(sample, 0.95),
        p99=supported_quantile(sample, 0.99),
        maximum=float(sample.max()),
    )


def share(part: Iterable[float | None], whole: Iterable[float | None]) -> float | None:
    """Return the sum of `part` over that of `whole`, of pairs with both known; None when the whole is 0."""
    pairs = [(a, b) for a, b in zip(part, whole, strict=True) if a is not None and b is not None]
    total = sum(b for _, b in pairs)
    return sum(a for a, _ in pairs) / total if total > 0 else None
