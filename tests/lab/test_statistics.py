"""The ranking: agreement with SciPy, the error that looks may spend, and properties that hold for every sample."""

import math
import random

import numpy as np
import pytest
import scipy
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from benchmarks import simulation
from poolwise.lab.statistics import (
    ALPHA,
    FEWEST_ROUNDS,
    LOOKS,
    MARGIN,
    Sample,
    achieved_concurrency,
    difference,
    ideal_makespan_s,
    is_look,
    knee,
    rank,
    rounds_to_settle,
    running_over_time,
    spreads,
    time_per_job,
)
from poolwise.lab.statistics.best import alpha_at

durations = st.floats(min_value=1e-4, max_value=1e4, allow_nan=False)
rounds = st.dictionaries(st.integers(1, 9), durations, min_size=3, max_size=9)
quick = settings(max_examples=40, deadline=None)


def around(middle: float, *, size: int = 5, seed: int = 0, sigma: float = 0.01) -> Sample:
    chance = random.Random(seed)
    return {number: middle * math.exp(chance.gauss(0, sigma)) for number in range(1, size + 1)}


@quick
@given(rounds)
def test_a_sample_against_itself_is_equally_fast(values: Sample) -> None:
    ranking = rank({"a": values, "b": dict(values)})
    assert ranking.candidates == ("a", "b")
    assert ranking.is_settled
    assert ranking.within == 0


@quick
@given(rounds, rounds)
def test_swapping_inverts_the_difference(a: Sample, b: Sample) -> None:
    assume(a.keys() & b.keys())
    there, back = difference(a, b), difference(b, a)
    assert back.ratio == pytest.approx(1 / there.ratio)
    if there.low is not None and there.high is not None and there.high < 1e200:
        assert (back.low, back.high) == (pytest.approx(1 / there.high), pytest.approx(1 / there.low))


@pytest.mark.slow
@quick
@given(rounds, rounds, st.floats(min_value=0.01, max_value=100))
def test_scaling_whole_rounds_leaves_the_ranking(a: Sample, b: Sample, factor: float) -> None:
    assume(a.keys() & b.keys())
    plain = rank({"a": a, "b": b})
    scaled = rank(
        {"a": {n: v * factor**n for n, v in a.items()}, "b": {n: v * factor**n for n, v in b.items()}}
    )
    assert scaled.differences["a", "b"].ratio == pytest.approx(plain.differences["a", "b"].ratio)
    assert set(scaled.out) == set(plain.out)


@quick
@given(st.dictionaries(st.sampled_from("abcd"), st.dictionaries(st.integers(1, 5), st.floats()), max_size=4))
def test_no_sample_raises_and_each_variant_is_listed_once(samples: dict[str, Sample]) -> None:
    ranking = rank(samples)
    assert sorted((*ranking.candidates, *ranking.out, *ranking.not_measured)) == sorted(samples)
    assert not set(ranking.not_measured) & {name for pair in ranking.differences for name in pair}


def test_the_bounds_are_those_of_a_paired_t_test_of_scipy() -> None:
    slow, fast = around(1.3, size=8, seed=1, sigma=0.1), around(1.0, size=8, seed=2, sigma=0.1)
    logs = [np.log(list(sample.values())) for sample in (slow, fast)]
    theirs = scipy.stats.ttest_rel(*logs).confidence_interval(0.9)  # each bound fails in 5 %
    own = difference(slow, fast)
    assert (own.low, own.high) == (pytest.approx(np.exp(theirs.low)), pytest.approx(np.exp(theirs.high)))
    assert own.ratio == pytest.approx(np.exp(np.mean(logs[0] - logs[1])))


def test_what_slows_a_whole_round_cancels() -> None:
    drift = [1.0, 3.0, 0.5, 2.0, 1.5]
    samples = {
        name: {n: value * drift[n - 1] for n, value in around(middle, seed=seed).items()}
        for seed, (name, middle) in enumerate({"a": 1.0, "b": 1.5}.items())
    }
    assert rank(samples).candidates == ("a",)


def test_looks_together_spend_less_than_alpha() -> None:
    assert sum(alpha_at(look, looked=True) for look in LOOKS) < ALPHA
    assert all(alpha_at(look, looked=True) > 0 for look in LOOKS)
    assert alpha_at(5, looked=False) == ALPHA
    assert is_look(FEWEST_ROUNDS)
    assert not is_look(7)


def test_fewer_than_three_rounds_rule_nothing_out() -> None:
    ranking = rank({"a": around(1.0, size=2), "b": around(9.0, size=2)})
    assert ranking.candidates == ("a", "b")
    assert not ranking.is_settled
    assert ranking.within == math.inf
    assert rounds_to_settle(ranking) is None


def test_a_pool_that_stopped_early_is_compared_on_the_rounds_it_ran() -> None:
    ranking = rank(
        {"a": around(1.0, size=9, seed=1), "b": around(1.0, size=9, seed=2), "c": around(3.0, size=3, seed=3)}
    )
    assert ranking.out == ("c",)
    assert ranking.differences["c", "a"].rounds == 3
    assert ranking.differences["a", "b"].rounds == 9


def test_equally_fast_within_the_margin_is_settled_and_a_wide_interval_is_not() -> None:
    alike = rank({"a": around(1.0, size=9, seed=1), "b": around(1.01, size=9, seed=2)})
    assert alike.is_settled
    assert alike.within <= MARGIN
    noisy = rank({"a": around(1.0, seed=1, sigma=0.3), "b": around(1.2, seed=2, sigma=0.3)})
    assert not noisy.is_settled
    assert set(noisy.candidates) == {"a", "b"}


def test_the_rounds_to_settle_grow_with_the_noise() -> None:
    def needed(sigma: float) -> int | None:
        samples = {"a": around(1.0, seed=1, sigma=sigma), "b": around(1.0, seed=2, sigma=sigma)}
        return rounds_to_settle(rank(samples, looked=True))

    few, many = needed(0.02), needed(0.05)
    assert few is not None
    assert few in LOOKS
    assert few > 5
    assert many is None or many > few


def test_a_pool_that_is_out_is_shown_against_the_one_it_is_clearly_slower_than() -> None:
    noisy, calm = around(1.0, seed=1, sigma=0.3), around(1.1, seed=2)
    ranking = rank({"noisy": noisy, "calm": calm, "slow": around(2.0, seed=3)})
    assert ranking.out == ("slow",)
    assert ranking.beaten_by("slow") == "calm"
    low = ranking.differences["slow", "calm"].low
    assert low is not None
    assert low > 1 + MARGIN


def test_values_that_are_no_durations_do_not_count() -> None:
    ranking = rank({"a": {1: math.nan, 2: 0.0, 3: -1.0, 4: math.inf}, "b": around(1.0)})
    assert ranking.not_measured == ("a",)
    assert ranking.candidates == ("b",)


@pytest.mark.slow
@pytest.mark.parametrize("name", simulation.NOISES)
def test_the_true_best_is_rarely_out_under_any_noise(name: str) -> None:
    equal, close, power, _ = simulation.shares(simulation.NOISES[name], 100, 10)
    assert max(equal, close) <= simulation.MOST_WRONG
    if name == "shared drift of 20 %":
        assert power >= simulation.LEAST_POWER


def test_the_spread_leaves_out_what_slowed_whole_rounds() -> None:
    drift = {1: 1.0, 2: 4.0, 3: 0.5}
    calm = {name: dict(drift) for name in ("a", "b")}
    assert spreads(calm) == {"a": pytest.approx(0), "b": pytest.approx(0)}
    uneven = spreads({"a": drift, "b": {1: 1.0, 2: 2.0, 3: 0.5}})
    assert uneven["a"] == pytest.approx(uneven["b"])
    assert (uneven["a"] or 0) > 0.15
    assert spreads({"a": {1: 1.0}, "b": {1: 2.0}}) == {"a": None, "b": None}


@given(st.lists(st.tuples(st.floats(0, 10), st.floats(0, 10)), max_size=30))
def test_concurrency_lies_between_nothing_and_all(intervals: list[tuple[float, float]]) -> None:
    achieved = achieved_concurrency(intervals)
    assert 0 <= achieved.mean <= achieved.peak + 1e-9
    assert achieved.peak <= len(intervals)
    assert all(count >= 0 for _, count in running_over_time(intervals))


def test_one_slot_in_disguise_shows_in_the_achieved_concurrency() -> None:
    achieved = achieved_concurrency([(n * 0.1, (n + 1) * 0.1) for n in range(10)])
    assert (achieved.peak, round(achieved.mean, 6)) == (1, 1.0)
    intervals = [(100.0, 102.0), (101.0, 103.0)]
    overlapping = achieved_concurrency(intervals)
    assert running_over_time(intervals) == [(0.0, 1), (1.0, 2), (2.0, 1), (3.0, 0)]
    assert (overlapping.peak, overlapping.mean) == (2, pytest.approx(4 / 3))


def test_the_ideal_waits_in_waves_and_computes_on_cores() -> None:
    figures = {"jobs": 201, "run_p50_s": 0.1, "cpu_total_s": 20.0, "cores": 2}
    assert ideal_makespan_s(waiting=True, slots=100, **figures) == pytest.approx(0.3)
    assert ideal_makespan_s(waiting=False, slots=100, **figures) == 10.0
    assert ideal_makespan_s(waiting=False, slots=1, **figures) == 20.0


def test_beyond_the_knee_more_slots_do_not_help() -> None:
    assert knee([(1, 10), (2, 20), (4, 38), (8, 40), (16, 41)]) == 2
    assert knee([(1, 10), (2, 20), (4, 40), (8, 80)]) is None
    assert knee([(1, 10), (2, 10), (4, 10)]) is None
    assert knee([]) is None


def test_a_batch_without_a_makespan_has_no_time_per_job() -> None:
    assert time_per_job(None, 50) is None
    assert time_per_job(1.0, 0) is None
    assert time_per_job(1.0, 50) == 0.02
