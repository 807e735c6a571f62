"""Quantiles of Student's t distribution. SciPy has them too, and takes most of a second and 60 MiB in each process."""

import math
from collections.abc import Iterator
from functools import cache
from itertools import count
from statistics import NormalDist

_TINY = 1e-300
_PRECISION = 1e-15


@cache
def t_quantile(freedom: float, alpha: float) -> float:
    """Return what Student's t exceeds with probability alpha, at most a half; infinite freedom: the normal distribution."""
    if math.isinf(freedom):
        return -NormalDist().inv_cdf(alpha)
    low, high = 0.0, 1.0
    while _tail(freedom, high) > alpha:
        low, high = high, high * 2
    while (middle := (low + high) / 2) not in (low, high):
        low, high = (middle, high) if _tail(freedom, middle) > alpha else (low, middle)
    return high


def _tail(freedom: float, t: float) -> float:
    """Return the probability that Student's t exceeds t ≥ 0: half the incomplete beta function I_x(ν/2, 1/2)."""
    square, a, b = t * t, freedom / 2, 0.5
    x, rest = freedom / (freedom + square), square / (freedom + square)
    logarithm = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) - a * math.log1p(square / freedom)
    factor = math.exp(logarithm) * math.sqrt(rest)
    if x < (a + 1) / (a + b + 2):
        return factor * _fraction(a, b, x) / a / 2
    return (1 - factor * _fraction(b, a, rest) / b) / 2


def _fraction(a: float, b: float, x: float) -> float:
    """Return the continued fraction of the incomplete beta function (DLMF 8.17.22), by Lentz's method."""
    value, c, d = 1.0, 1.0, 0.0
    for term in _terms(a, b, x):
        d = 1 / ((1 + term * d) or _TINY)
        c = (1 + term / c) or _TINY
        value *= c * d
        if abs(c * d - 1) < _PRECISION:
            break
    return 1 / value


def _terms(a: float, b: float, x: float) -> Iterator[float]:
    for m in count():
        yield -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        yield (m + 1) * (b - m - 1) * x / ((a + 2 * m + 1) * (a + 2 * m + 2))
