"""Summaries of samples: properties, and samples that are too small."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from poolwise.support.samples import Summary, quantile, share, summary, supported_quantile

durations = st.floats(min_value=0, max_value=1e6, allow_nan=False)
samples = st.lists(durations, min_size=1, max_size=300)
ragged = st.lists(st.one_of(st.none(), st.just(math.nan), durations), max_size=300)


@given(ragged)
def test_summary_never_raises_and_counts_what_was_measured(values: list[float | None]) -> None:
    measured = [value for value in values if value is not None and not math.isnan(value)]
    assert summary(values).n == len(measured)


@given(samples)
def test_percentiles_lie_in_order_between_the_extremes(values: list[float]) -> None:
    shown_summary = summary(values)
    figures = [getattr(shown_summary, name) for name in ("minimum", "p50", "p95", "p99", "maximum")]
    shown = [figure for figure in figures if figure is not None]
    for lower, upper in pairwise(shown):
        assert lower <= upper or math.isclose(lower, upper)


@given(samples, st.floats(min_value=0.001, max_value=1000))
def test_scaling_a_sample_scales_its_quantiles(values: list[float], factor: float) -> None:
    scaled = quantile([value * factor for value in values], 0.95)
    plain = quantile(values, 0.95)
    assert scaled is not None
    assert plain is not None
    assert scaled == pytest.approx(plain * factor, rel=1e-6, abs=1e-9)


@given(samples, st.randoms(use_true_random=False))
def test_order_does_not_matter(values: list[float], random: object) -> None:
    shuffled = list(values)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert quantile(shuffled, 0.5) == quantile(values, 0.5)


@given(samples, st.floats(min_value=0, max_value=1))
def test_quantiles_are_those_of_numpy(values: list[float], q: float) -> None:
    assert quantile(values, q) == pytest.approx(float(np.quantile(values, q)), rel=1e-9, abs=1e-12)


def test_quantiles_interpolate_linearly() -> None:
    assert quantile([1, 2, 3, 4], 0.5) == 2.5
    assert quantile([0, 10], 0.95) == pytest.approx(9.5)


def test_an_empty_sample_has_no_figures() -> None:
    assert summary([]) == Summary(n=0)
    assert quantile([None, math.nan], 0.5) is None


@pytest.mark.parametrize(
    ("size", "shows_p95", "shows_p99"), [(19, False, False), (99, True, False), (100, True, True)]
)
def test_a_percentile_needs_enough_values(size: int, shows_p95: bool, shows_p99: bool) -> None:
    figures = summary(range(size))
    assert (figures.p95 is not None, figures.p99 is not None) == (shows_p95, shows_p99)


def test_a_far_percentile_needs_as_many_values_as_its_rarity() -> None:
    assert supported_quantile(range(999), 0.999) is None
    assert supported_quantile(range(1000), 0.999) is not None


@given(samples)
def test_the_share_of_a_sample_in_itself_is_one(values: list[float]) -> None:
    whole = share(values, values)
    assert whole is None if sum(values) == 0 else whole == pytest.approx(1)


def test_the_share_leaves_out_what_was_not_measured() -> None:
    assert share([1, None, 5], [2, 4, None]) == 0.5
    assert share([], []) is None
