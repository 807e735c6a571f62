"""The answer of a comparison: what is recommended, in which words, and what it says where it says nothing."""

import re
from typing import Any

import pytest

from poolwise.lab.answer import decide
from poolwise.lab.report import Answer, SweepPoint, ValidityCheck
from poolwise.lab.report.figures import Stall
from poolwise.lab.validity import checks
from tests.helpers import report_sample as sample
from tests.helpers.answer_inputs import figures, inputs, samples


def answer(*args: Any, **kwargs: Any) -> Answer:
    """Return the answer for these inputs; every text has at most two sentences."""
    given = decide.decide(inputs(*args, **kwargs))
    assert len(re.findall(r"\.(?= [A-Z]|$)", given.text)) <= 2, given.text
    return given


# --- one pool is left -----------------------------------------------------------------------------------
def test_the_answer_recommends_the_fastest_pool_and_says_by_how_much() -> None:
    given = answer({"prefork": 0.96, "gevent": 0.1, "threads": 0.17}, figures("gevent", slots=200))
    assert (
        given.text
        == "Run io.wait on gevent (200 slots). It is 9.6× as fast as prefork and 1.7× as fast as threads."
    )
    assert (given.state, given.pool, given.slots, given.rounds) == ("settled", "gevent", 200, 6)
    assert (given.tie_reason, given.next_step) == ("", "")
    assert [(each.name, each.role) for each in given.standings] == [
        ("gevent", "best"),
        ("threads", "out"),
        ("prefork", "out"),
    ]


def test_pools_with_the_same_ratio_are_named_together() -> None:
    given = answer({"prefork": 1.0, "threads": 2.3, "asyncio": 2.3, "gevent": 1.7})
    assert given.text.endswith("It is 2.3× as fast as threads and asyncio and 1.7× as fast as gevent.")


def test_each_pool_stands_with_its_ratio_and_interval() -> None:
    given = answer({"prefork": 0.5, "gevent": 0.1})
    [best, slow] = given.standings
    assert (best.ratio, best.low, best.high) == (1, 1, 1)
    assert slow.ratio == pytest.approx(5, rel=0.01)
    assert slow.low < slow.ratio < slow.high
    assert (slow.net_ratio, slow.net_low, slow.net_high) == (None, None, None), "nothing was calibrated"
    assert given.standing("gevent") == best
    assert given.candidates == ["gevent"]


STEADY = {"prefork": dict.fromkeys(range(1, 7), 0.5), "gevent": dict.fromkeys(range(1, 7), 0.1)}


def net_ratio(of_prefork_s: float, of_gevent_s: float | None, **of_gevent: Any) -> float | None:
    """Return the ratio of prefork to gevent net of these overheads per job."""
    pools = [
        figures("prefork", overhead_s=of_prefork_s),
        figures("gevent", overhead_s=of_gevent_s, **of_gevent),
    ]
    slow = answer({"prefork": 1, "gevent": 1}, *pools, samples=STEADY).standing("prefork")
    assert slow is not None
    assert slow.ratio == pytest.approx(5)
    return slow.net_ratio


def test_a_calibrated_ratio_has_the_overhead_taken_out() -> None:
    assert net_ratio(0.05, 0.05) == pytest.approx(9)
    assert net_ratio(0.05, None) is None, "every pool must be calibrated"


def test_no_time_net_of_overhead_is_below_the_run_over_the_slots() -> None:
    assert net_ratio(0.4, 0.4) == pytest.approx((0.5 - 0.4) / (0.1 / 4))


def test_no_time_net_of_overhead_is_below_the_run_over_the_jobs_of_a_batch() -> None:
    assert net_ratio(0.4, 0.4, slots=200, jobs=6 * 2) == pytest.approx((0.5 - 0.4) / (0.1 / 2))


# --- ties -----------------------------------------------------------------------------------------------
TIE = {"threads": 0.1, "gevent": 0.1, "prefork": 0.4}


def test_of_equally_fast_pools_the_one_with_least_memory_per_slot_is_recommended() -> None:
    lean = figures("gevent", peak_memory_bytes=40_000_000)
    given = answer(TIE, lean)
    assert given.text == (
        "threads and gevent are equally fast within 1 %; take gevent (4 slots): least memory per slot (10 MB). "
        "They are 4.0× as fast as prefork."
    )
    assert (given.state, given.pool, given.tie_reason) == (
        "settled",
        "gevent",
        "least memory per slot (10 MB)",
    )
    assert given.within is not None
    assert given.within < 0.01
    assert given.candidates == ["threads", "gevent"]


def test_a_pool_without_stalls_goes_before_one_with_less_memory() -> None:
    stalled = figures("gevent", peak_memory_bytes=40_000_000, stall=Stall(max_s=0.4, caused_by=None))
    given = answer(TIE, stalled)
    assert (given.pool, given.tie_reason) == ("threads", "its loop does not stall")


# --- open -----------------------------------------------------------------------------------------------
def noisy(ratio: float = 1.5) -> dict[str, dict[int, float]]:
    """Return samples of two pools that rounds do not tell apart, and of one that is out."""
    slow = (0.6, 1.9, 0.7, 1.6, 0.8, 1.5)
    return {
        "threads": dict(enumerate([0.1 * ratio * each for each in slow], start=1)),
        "asyncio": dict.fromkeys(range(1, 7), 0.1),
        "prefork": dict.fromkeys(range(1, 7), 2.0),
    }


def test_an_open_answer_names_what_is_left_what_is_out_and_the_next_step() -> None:
    given = answer({"threads": 1, "asyncio": 1, "prefork": 1}, samples=noisy())
    assert (given.state, given.pool, given.candidates) == ("open", "asyncio", ["asyncio", "threads"])
    assert (
        given.text == "Run io.wait on asyncio or threads; prefork is out. 6 rounds did not tell them apart."
    )
    assert re.fullmatch(
        r"About \d+ rounds would settle it: repeat it with a larger preset\.", given.next_step
    ), given.next_step


def test_where_more_rounds_would_not_help_the_next_step_says_so() -> None:
    given = answer({"threads": 1, "asyncio": 1, "prefork": 1}, samples=noisy(1.05))
    assert given.state == "open"
    assert given.next_step.startswith("More rounds would hardly settle it")
    load = checks.failed("other_load", "Other programs used 1.8 of 2 cores.", matters=False)
    given = answer({"threads": 1, "asyncio": 1, "prefork": 1}, samples=noisy(1.05), checks=[load])
    assert given.next_step.startswith("Other programs took CPU time meanwhile: repeat it")


@pytest.mark.parametrize("rounds", [1, 2])
def test_too_few_rounds_answer_openly_and_name_the_preset(rounds: int) -> None:
    given = answer({"prefork": 1.0, "gevent": 0.1}, rounds=rounds)
    assert (given.state, given.pool, given.within) == ("open", "gevent", None)
    assert "Run io.wait on gevent or prefork." in given.text
    assert given.next_step == "An interval takes 3 rounds: repeat it with the preset quick, which takes 30 s."
    assert [(each.low, each.high) for each in given.standings[1:]] == [(None, None)]


# --- checks take away only what they touch --------------------------------------------------------------
def failing(*pools: str, key: str = "failures", **changes: Any) -> ValidityCheck:
    return checks.failed(key, "Jobs did not succeed: 9 of 10 on gevent.", pools, **changes)


def test_a_pool_whose_jobs_fail_is_not_measured_and_the_others_are_answered_for() -> None:
    given = answer({"prefork": 1.0, "gevent": 0.01, "threads": 0.3}, failed=[failing("gevent")])
    assert (given.state, given.pool) == ("settled", "threads")
    assert given.text == "Run io.wait on threads (4 slots). It is 3.3× as fast as prefork."
    last = given.standings[-1]
    assert (last.name, last.role, last.ratio) == ("gevent", "not measured", None)
    assert last.reason == "Jobs did not succeed: 9 of 10 on gevent."


def test_a_warning_takes_nothing_away() -> None:
    warning = failing("gevent", key="stalls", matters=False)
    assert answer({"prefork": 1.0, "gevent": 0.1}, failed=[warning]).pool == "gevent"


@pytest.mark.parametrize("pools", [("gevent",), ()])
def test_without_two_pools_the_answer_says_why_and_what_to_do(pools: tuple[str, ...]) -> None:
    given = answer({"prefork": 1.0, "gevent": 0.1}, failed=[failing(*pools)])
    assert (given.state, given.pool, given.slots) == ("none", "", None)
    assert given.text == "No answer: jobs did not succeed: 9 of 10 on gevent."
    assert given.next_step == "Mend what makes the jobs fail, and repeat the comparison."
    affected = pools or ("prefork", "gevent")
    reasons = {each.name: each.reason for each in given.standings}
    assert all(reasons[name] == "Jobs did not succeed: 9 of 10 on gevent." for name in affected)
    assert {each.role for each in given.standings} == {"not measured"}


def test_a_pool_without_a_round_is_not_measured() -> None:
    without = {**samples({"prefork": 1.0, "gevent": 0.1}), "threads": {}}
    given = answer({"prefork": 1, "gevent": 1, "threads": 1}, samples=without)
    assert (given.state, given.pool) == ("settled", "gevent")
    assert given.standings[-1].reason == "It has no completed round."
    none = answer({"prefork": 1, "threads": 1}, samples={"prefork": {1: 1.0}, "threads": {}})
    assert none.text == "No answer: fewer than two pools have a completed round."
    assert none.next_step == "Repeat the comparison with the workers of every pool running."


def test_one_pool_alone_is_nothing_to_compare() -> None:
    given = answer({"gevent": 0.1})
    assert (given.state, given.text) == ("none", "Nothing to compare: choose at least two pools.")
    assert given.standings == []


def test_a_sweep_of_one_pool_is_answered_by_its_knee() -> None:
    points = [SweepPoint.model_validate(point) for point in sample.sweep()["gevent"]]
    given = answer({"gevent": 0.1}, sweep={"gevent": points})
    assert given.text == "Run io.wait on gevent (16 slots): more slots add little."
    assert (given.state, given.slots) == ("settled", 16)
    assert given.pool == "", "no other pool was measured, so that it is not recommended"
    level = [point.model_copy(update={"is_knee": False}) for point in points]
    without = answer({"gevent": 0.1}, sweep={"gevent": level})
    assert (without.state, without.text) == ("none", "gevent has no knee from 1 to 32 slots.")


# --- variants -------------------------------------------------------------------------------------------
def test_variants_are_ranked_without_slots_ties_or_advice_on_pools() -> None:
    given = answer({"guard=lock": 0.2, "guard=none": 0.1}, is_vary=True)
    assert given.text == "guard=none is the fastest. It is 2.0× as fast as guard=lock."
    assert (given.slots, given.why, given.would_change, given.tie_reason) == (None, "", "", "")
    equal = answer({"guard=lock": 0.1, "guard=none": 0.1, "f": 0.3}, is_vary=True)
    assert re.fullmatch(
        r"guard=\w+ and guard=\w+ are equally fast within 1 %\. They are 3\.0× as fast as f\.", equal.text
    ), equal.text
    few = answer({"a": 0.1, "b": 0.2}, is_vary=True, rounds=1)
    assert few.text == "a or b is the fastest; the rounds did not tell them apart."


def test_a_tiny_job_is_called_that() -> None:
    small = [figures(name, run_s=0.0002, rate=200.0) for name in ("prefork", "gevent")]
    given = answer({"prefork": 0.005, "gevent": 0.0051}, *small)
    assert given.text == (
        f"Run io.wait on {given.pool} (4 slots). "
        "Each job does 0.2 ms of work in 5.0 ms of overhead: put many into one job."
    )


def test_at_a_rate_the_answer_begins_with_it_and_calls_no_job_tiny() -> None:
    pools = [figures("gevent"), figures("prefork")]
    answer = decide.decide(inputs({"gevent": 0.1, "prefork": 0.3}, *pools, rate_per_s=20.0))
    assert answer.text.startswith("At 20 jobs/s, run io.wait on gevent (")
    assert "overhead" not in answer.text
