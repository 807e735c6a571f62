"""Summary figures of samples, each shown only if the sample is large enough."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import fmean

#: The smallest sample for each percentile; in a smaller one it would only repeat the largest value.
MIN_VALUES = {0.5: 1, 0.95: 20, 0.99: 100}


@dataclass(frozen=True, slots=True)
class Summary:
    """The summary of a sample; a percentile is None if the sample is too small for it."""

    n: int
    mean: float | None = None
    minimum: float | None = None
    p50: float | None = None
    p95: float | None = None
    p99: float | None = None
    maximum: float | None = None


def known(values: Iterable[float | None]) -> list[float]:
    """Return the finite values, sorted; None and NaN mean not measured."""
    return sorted(float(value) for value in values if value is not None and math.isfinite(value))


def quantile(values: Iterable[float | None], q: float) -> float | None:
    """Return the q-quantile with linear interpolation (Hyndman and Fan, 1996, type 7), or None of nothing."""
    return _quantile(known(values), q)


def _quantile(ordered: list[float], q: float) -> float | None:
    if not ordered:
        return None
    below, part = divmod((len(ordered) - 1) * q, 1)
    lower = ordered[int(below)]
    upper = ordered[min(int(below) + 1, len(ordered) - 1)]
    return lower + (upper - lower) * part if part else lower


def supported_quantile(values: Iterable[float | None], q: float) -> float | None:
    """Return the q-quantile, or None if the sample is too small for it."""
    return _supported(known(values), q)


def _supported(ordered: list[float], q: float) -> float | None:
    needed = MIN_VALUES.get(q) or math.ceil(1 / (1 - q))
    return _quantile(ordered, q) if len(ordered) >= needed else None


def summary(values: Iterable[float | None]) -> Summary:
    """Return the summary of a sample; an empty one has only `n`."""
    ordered = known(values)
    if not ordered:
        return Summary(n=0)
    return Summary(
        n=len(ordered),
        mean=fmean(ordered),
        minimum=ordered[0],
        p50=_supported(ordered, 0.5),
        p95=_supported(ordered, 0.95),
        p99=_supported(ordered, 0.99),
        maximum=ordered[-1],
    )


def share(part: Iterable[float | None], whole: Iterable[float | None]) -> float | None:
    """Return sum(part) / sum(whole) over the pairs without None; None if the whole is 0."""
    pairs = [(a, b) for a, b in zip(part, whole, strict=True) if a is not None and b is not None]
    total = sum(b for _, b in pairs)
    return sum(a for a, _ in pairs) / total if total > 0 else None
