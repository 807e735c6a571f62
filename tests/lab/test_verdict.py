"""Verdicts: the outcomes by rule, agreement with SciPy and pyperf, and properties that hold for every sample."""

import math
import random
import time
from collections.abc import Sequence

import numpy as np
import pyperf
import pytest
import scipy  # its modules load when they are first used
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from benchmarks import simulation
from poolwise.lab.statistics import (
    CANNOT_TELL,
    FASTER,
    NO_DIFFERENCE,
    SLOWER,
    achieved_concurrency,
    compare,
    compare_all,
    fewest_rounds,
    holm,
    ideal_makespan_s,
    knee,
    rank_test,
    ratio_interval,
    round_medians,
    running_over_time,
    sentence,
    spread,
    time_per_job,
)
from tests.helpers.pace import limit_s

durations = st.floats(min_value=1e-4, max_value=1e4, allow_nan=False)
rounds = st.lists(durations, min_size=4, max_size=9)
anything = st.lists(st.lists(st.floats() | st.floats(min_value=-1, max_value=1), max_size=4), max_size=7)
quick = settings(max_examples=40, deadline=None)


def batches(values: Sequence[float]) -> list[list[float]]:
    return [[value] for value in values]


def around(middle: float, *, size: int = 5, seed: int = 0, sigma: float = 0.01) -> list[list[float]]:
    chance = random.Random(seed)
    return [[middle * math.exp(chance.gauss(0, sigma))] for _ in range(size)]


@quick
@given(rounds)
def test_a_sample_against_itself_is_never_faster(values: list[float]) -> None:
    assert compare(batches(values), batches(values)).outcome in (NO_DIFFERENCE, CANNOT_TELL)


@quick
@given(rounds, rounds)
def test_swapping_inverts_the_ratio_its_interval_and_the_outcome(a: list[float], b: list[float]) -> None:
    there, back = compare(batches(a), batches(b)), compare(batches(b), batches(a))
    assert there.low is not None
    assert there.high is not None
    assert back.ratio == pytest.approx(1 / (there.ratio or math.nan))
    assert (back.low, back.high) == (pytest.approx(1 / there.high), pytest.approx(1 / there.low))
    assert back.outcome == {FASTER: SLOWER, SLOWER: FASTER}.get(there.outcome, there.outcome)


@quick
@given(rounds, rounds, st.integers(min_value=-10, max_value=10))
def test_scaling_both_leaves_the_verdict(a: list[float], b: list[float], power: int) -> None:
    factor = 2.0**power  # exact in binary, so that no tie appears or disappears
    plain = compare(batches(a), batches(b))
    scaled = compare(batches([x * factor for x in a]), batches([x * factor for x in b]))
    assert scaled.ratio == pytest.approx(plain.ratio)
    assert (scaled.outcome, scaled.p_value) == (plain.outcome, plain.p_value)
    assert (scaled.low, scaled.high) == (pytest.approx(plain.low), pytest.approx(plain.high))


@quick
@given(anything, anything)
def test_no_sample_raises_and_too_few_rounds_cannot_tell(a: list[list[float]], b: list[list[float]]) -> None:
    verdict = compare(a, b)
    assert verdict.rounds == min(len(round_medians(a)), len(round_medians(b)))
    if verdict.rounds < 2 or len(round_medians(a)) + len(round_medians(b)) < 7:
        assert verdict.outcome == CANNOT_TELL
        assert verdict.reason


@pytest.mark.parametrize("least", [5e-324, 1e-308, 1e-200])
def test_durations_whose_ratio_overflows_give_no_verdict(least: float) -> None:
    a, b = [[least]] * 5, [[1e300]] * 5
    for verdict in (compare(a, b), compare(b, a), compare([[least], [1e300]] * 3, b)):
        assert (verdict.outcome, verdict.reason) == (
            CANNOT_TELL,
            "the durations are too far apart to compare",
        )


@given(st.lists(st.floats(min_value=0, max_value=1), min_size=1, max_size=12))
def test_holm_corrects_in_order_and_never_below_the_raw_value(p_values: list[float]) -> None:
    corrected = holm(p_values)
    for raw, fixed in zip(p_values, corrected, strict=True):
        assert raw <= fixed <= 1
    assert [fixed for _, fixed in sorted(zip(p_values, corrected, strict=True))] == sorted(corrected)


def test_holm_agrees_with_the_published_procedure() -> None:
    # The smallest value times 4, the next times 3, and so on, each at least as large as the one before.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    family = [0.001, 0.02, 0.3]
    assert all(holm(family) >= scipy.stats.false_discovery_control(family))


@quick
@given(rounds, rounds)
def test_the_rank_test_is_that_of_scipy(a: list[float], b: list[float]) -> None:
    assume(len({*a, *b}) > 1)
    assert rank_test(a, b) == scipy.stats.mannwhitneyu(a, b).pvalue


def test_equal_values_show_no_difference() -> None:
    assert rank_test([1.0] * 5, [1.0] * 5) == 1
    assert rank_test([], [1.0]) == 1


@pytest.mark.parametrize("sizes", [(5, 5), (8, 5)])
def test_the_interval_is_that_of_scipy_on_the_ratio_itself(sizes: tuple[int, int]) -> None:
    chance = np.random.default_rng(5)
    base, other = (chance.lognormal(0, 0.1, size) for size in sizes)
    own = ratio_interval(list(base), list(other))
    theirs = scipy.stats.bootstrap(
        (base, other),
        lambda a, b, axis: np.median(a, axis=axis) / np.median(b, axis=axis),
        paired=sizes[0] == sizes[1],
        method="percentile",
        n_resamples=20_000,
        rng=1,
    ).confidence_interval
    assert own.ratio == pytest.approx(np.median(base) / np.median(other))
    assert (own.low, own.high) == (pytest.approx(theirs.low, rel=0.02), pytest.approx(theirs.high, rel=0.02))


@pytest.mark.parametrize("factor", [1.0, 1.3, 5.0])
def test_the_ratio_agrees_with_pyperf_on_the_same_samples(factor: float) -> None:
    def pyperf_benchmark(sample: list[list[float]]) -> pyperf.Benchmark:
        runs = [pyperf.Run(v, metadata={"name": "x"}, collect_metadata=False) for v in sample]
        return pyperf.Benchmark(runs)

    base, other = around(0.02 * factor, seed=1), around(0.02, seed=2)
    verdict = compare(base, other)
    theirs = pyperf_benchmark(base), pyperf_benchmark(other)
    assert verdict.ratio == pytest.approx(theirs[0].median() / theirs[1].median())
    assert (verdict.n_base, verdict.n_other) == tuple(benchmark.get_nvalue() for benchmark in theirs)
    significant = _pyperf_says_significant(theirs[0], theirs[1])
    assert (verdict.outcome == FASTER) == significant


def _pyperf_says_significant(a: pyperf.Benchmark, b: pyperf.Benchmark) -> bool:
    from pyperf._utils import is_significant

    return bool(is_significant(a.get_values(), b.get_values())[0])


def test_rounds_of_many_values_count_as_one_each() -> None:
    chance = random.Random(3)
    # One round in five was disturbed: 1000 values of few rounds must not count as 1000 independent values.
    base = [[middle + chance.gauss(0, 0.01) for _ in range(200)] for middle in (1.0, 1.02, 1.04, 1.3, 1.01)]
    other = [[middle + chance.gauss(0, 0.01) for _ in range(200)] for middle in (1.01, 1.03, 1.0, 1.02, 1.05)]
    assert scipy.stats.mannwhitneyu(np.ravel(base), np.ravel(other)).pvalue < 0.001
    assert compare(base, other).outcome == NO_DIFFERENCE


def test_the_sentence_reads_as_documented() -> None:
    verdict = compare(around(9.6, seed=1), around(1.0, seed=2))
    assert verdict.outcome == FASTER
    text = sentence(verdict, "gevent", "prefork", 5, 200)
    assert text.startswith("gevent ran this job 9.")
    assert "× faster than prefork (95 % CI 9." in text
    assert text.endswith(", 5 rounds of 200)")


def test_a_slower_pool_is_slower_by_a_factor_above_one() -> None:
    text = sentence(compare(around(1.0, seed=1), around(1.5, seed=2)), "threads", "prefork", 5, 50)
    assert text.startswith("threads ran this job 1.")
    assert "× slower than prefork (95 % CI 1." in text


def test_a_difference_within_the_band_is_none_whatever_its_p_value() -> None:
    verdict = compare(around(1.01, sigma=1e-4), around(1.0, sigma=1e-4))
    assert verdict.p_value == pytest.approx(2 / 252)
    assert verdict.outcome == NO_DIFFERENCE
    assert "±2" in verdict.reason


@pytest.mark.parametrize(
    ("base", "other", "reason"),
    [
        ([], around(1.0), "nothing was measured"),
        (batches([0.0] * 5), around(1.0), "too short"),
        (around(1.0, size=1), around(9.0, size=1), "1 round is too few"),
        (around(1.0, size=3), around(9.0, size=3), "3 rounds are too few: comparing 2 pools takes 4"),
        (batches([1, 9, 1, 9, 5]), batches([2, 3, 8, 1, 8]), "too noisy"),
    ],
)
def test_cannot_tell_has_a_reason(base: list[list[float]], other: list[list[float]], reason: str) -> None:
    verdict = compare(base, other)
    assert verdict.outcome == CANNOT_TELL
    assert reason in verdict.reason
    assert reason in sentence(verdict, "gevent", "prefork", verdict.rounds, 10)


def test_four_pools_need_five_rounds_for_a_verdict_and_five_pools_six() -> None:
    samples = {name: around(middle, seed=middle) for name, middle in zip("abcd", (1, 2, 4, 8), strict=True)}
    verdicts = compare_all(samples, "d")
    assert {
        other: verdict.outcome for (base, other), verdict in verdicts.items() if base == "d"
    } == dict.fromkeys("abc", FASTER)
    assert len(verdicts) == 6
    assert [fewest_rounds(pools) for pools in (2, 3, 4, 5)] == [4, 5, 5, 6]
    assert compare_all({**samples, "e": around(16)}, "a")["a", "e"].reason.startswith(
        "5 rounds are too few: comparing 5 pools takes"
    )


def test_the_seed_decides_and_a_verdict_is_quick() -> None:
    chance = np.random.default_rng(1)
    samples = {name: chance.lognormal(0, 0.2, (5, 200)).tolist() for name in "abcd"}
    verdicts = compare_all(samples, "a", seed=7)
    begin_cpu_s = time.process_time()
    assert compare_all(samples, "a", seed=7) == verdicts
    assert time.process_time() - begin_cpu_s < limit_s(0.3)


@pytest.mark.slow
@pytest.mark.parametrize(("factor", "right"), [(1.0, NO_DIFFERENCE), (1.3, SLOWER)])
def test_simulated_comparisons_get_the_right_verdict_19_times_in_20(factor: float, right: str) -> None:
    noise = simulation.NOISES["usual"]
    outcomes = [compare(*simulation.comparison(seed, noise, factor)).outcome for seed in range(100)]
    assert outcomes.count(right) >= 95


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


@given(st.lists(durations, max_size=20))
def test_the_spread_is_relative(values: list[float]) -> None:
    assume(len(values) != 1)
    relative = spread(values)
    assert relative is None or relative >= 0
    assert spread([]) is None
    assert spread([9, 10, 11]) == pytest.approx(0.1)


@given(st.lists(durations, min_size=2, max_size=20))
def test_the_spread_is_the_interquartile_range_of_scipy(values: list[float]) -> None:
    assert spread(values) == pytest.approx(
        float(scipy.stats.iqr(values)) / float(np.median(values)), rel=1e-9
    )


def test_a_batch_without_a_makespan_adds_nothing() -> None:
    assert time_per_job(None, 50) == []
    assert time_per_job(1.0, 50) == [0.02]
