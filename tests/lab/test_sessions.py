"""Two sessions of rounds: the ratio, its bounds, the yardstick, and how often a check is wrong."""

import math
import random

import pytest

from poolwise.lab.statistics import sessions
from poolwise.lab.statistics.sessions import Round, SessionRatio, session_ratio

NOISE = [1.0, 1.03, 0.98, 1.01, 0.97]


def rounds(time_s: float, yardstick_s: float | None = None, noise: list[float] = NOISE) -> list[Round]:
    return [Round(time_s * factor, yardstick_s) for factor in noise]


def ratio(before: list[Round], after: list[Round], **options: float) -> SessionRatio:
    return session_ratio(before, after, **{"alpha": 0.05, **options})


def width(between: SessionRatio) -> float:
    assert between.low is not None
    assert between.high is not None
    return between.high / between.low


def test_the_ratio_is_of_the_times_over_the_yardsticks() -> None:
    between = ratio(rounds(1.0, 0.005), rounds(1.32, 0.0055))
    assert between.ratio == pytest.approx(1.2)
    assert between.yardstick_ratio == pytest.approx(1.1)
    assert between.low is not None
    assert 1.1 < between.low < 1.2


def test_a_job_that_waits_does_not_follow_the_machine() -> None:
    assert ratio(rounds(1.0, 0.005), rounds(1.0, 0.0055), follows=0.0).ratio == pytest.approx(1.0)
    half = ratio(rounds(1.0, 0.005), rounds(1.0, 0.0055), follows=0.5)
    assert half.ratio == pytest.approx(1.1**-0.5)


def test_drift_within_a_session_cancels_by_the_yardsticks_of_its_rounds() -> None:
    drift = [1.0, 1.1, 1.2, 1.3, 1.4]
    drifting = [Round(factor, 0.005 * factor) for factor in drift]
    even = ratio(drifting, [Round(1.0, 0.005)] * 5)
    assert even.ratio == pytest.approx(1.0)
    assert width(even) < 1.1
    assert width(ratio([Round(factor) for factor in drift], [Round(1.0)] * 5)) > 1.3


def test_less_is_known_without_a_yardstick_and_on_another_processor() -> None:
    same = width(ratio(rounds(1.0, 0.005), rounds(1.0, 0.005)))
    other = width(session_ratio(rounds(1, 0.005), rounds(1, 0.005), alpha=0.05, same_processor=False))
    assert same < other < width(ratio(rounds(1.0), rounds(1.0)))


def test_one_round_without_a_yardstick_makes_all_count_without() -> None:
    between = ratio(rounds(1.0, 0.005), [*rounds(1.0, 0.01)[1:], Round(1.0)])
    assert between.yardstick_ratio is None
    assert between.ratio == pytest.approx(1.0, rel=0.02)


def test_two_rounds_have_a_ratio_and_no_bounds() -> None:
    between = ratio(rounds(1.0, noise=[1, 1]), rounds(2.0))
    assert (between.low, between.high) == (None, None)
    assert between.ratio == pytest.approx(2.0, rel=0.02)
    assert sessions.outcome(between, 0.1) == "cannot tell"
    with pytest.raises(ValueError, match="no rounds"):
        ratio([], rounds(1.0))


def test_equal_rounds_have_the_bounds_of_the_session_alone() -> None:
    between = ratio([Round(1.0, 0.005)] * 3, [Round(1.0, 0.005)] * 3)
    assert between.high == pytest.approx(math.exp(1.645 * sessions.SESSION_SD), rel=1e-4)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (1.11, 1.3, "slower"),
        (1.09, 1.3, "cannot tell"),
        (0.95, 1.09, "no change"),
        (0.8, 1.05, "cannot tell"),
        (0.7, 0.9, "faster"),
    ],
)
def test_the_outcome_follows_from_the_bounds_and_the_allowance(
    low: float, high: float, expected: str
) -> None:
    assert sessions.outcome(SessionRatio(math.sqrt(low * high), low, high, None), 0.1) == expected


def drawn(chance: random.Random, machine: float, change: float) -> list[Round]:
    return [
        Round(machine * change * chance.lognormvariate(0, 0.03), machine * chance.lognormvariate(0, 0.01))
        for _ in range(8)
    ]


def fails(chance: random.Random, factor: float) -> bool:
    residual, machine = chance.lognormvariate(0, 0.015), chance.choice([1 / 1.1, 1.1])
    between = ratio(drawn(chance, 1.0, 1.0), drawn(chance, machine, factor * residual))
    return sessions.outcome(between, 0.1) == "slower"


def test_sessions_that_differ_by_10_percent_fail_only_where_the_code_is_slower() -> None:
    chance = random.Random(13)
    share = {factor: sum(fails(chance, factor) for _ in range(400)) / 400 for factor in (1.0, 1.08, 1.2)}
    assert share[1.0] == 0
    assert share[1.08] <= 0.05
    assert share[1.2] >= 0.95


def test_the_smallest_slowdown_that_is_found_shrinks_with_rounds_and_grows_with_pools() -> None:
    few = sessions.smallest_found(rounds(1, 0.005), alpha=0.05, allowance=0.1)
    many = sessions.smallest_found(rounds(1, 0.005) * 4, alpha=0.05, allowance=0.1)
    of_four = sessions.smallest_found(rounds(1, 0.005), alpha=0.05 / 4, allowance=0.1)
    assert 1.1 < many < few < of_four < 1.4
    with pytest.raises(ValueError, match="Too few"):
        sessions.smallest_found(rounds(1, 0.005)[:2], alpha=0.05, allowance=0.1)
