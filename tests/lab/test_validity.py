"""The validity checks, each a pure function, at its edges."""

from dataclasses import replace
from typing import Any

import pytest

from poolwise.lab.report import ValidityCheck
from poolwise.lab.report.figures import Stall
from poolwise.lab.validity import checks, fairness
from poolwise.lab.validity import measured as effects
from poolwise.lab.validity.measured import Load

WAITING = Load(
    model="gevent", slots=50, jobs=100, cores=2, peak=50, mean=45.0, run_s=0.1, cpu_s=0.001, starts_s=[0.0] * 100
)  # fmt: skip
TWO = {"prefork": ["1"], "gevent": ["2"]}
ONE = {"prefork": ["1"], "gevent": ["1"]}


def on_machines(seen: dict[str, list[str]], **cores: list[str]) -> ValidityCheck:
    return fairness.machine(
        {pool: {name: name for name in names if name} for pool, names in seen.items()}, cores
    )


@pytest.mark.parametrize("rule", [fairness.code, on_machines, fairness.parameters, fairness.prefetch])
def test_what_differs_between_pools_withholds_the_answer(rule: Any) -> None:
    assert rule(ONE).passed
    assert rule(TWO).withholds


@pytest.mark.parametrize("rule", [fairness.code, on_machines, fairness.prefetch])
def test_what_was_not_recorded_does_not_pass_and_withholds_nothing(rule: Any) -> None:
    check = rule({"prefork": [], "gevent": [""]})
    assert not check.passed
    assert not check.withholds
    assert "recorded" in check.reason


def test_pools_on_the_same_two_machines_pass() -> None:
    assert on_machines({"prefork": ["a", "b"], "gevent": ["b", "a"]}).passed
    assert on_machines({"prefork": ["a", "b"], "gevent": ["a"]}).withholds


def test_pools_with_the_same_number_of_cores_pass() -> None:
    assert on_machines(ONE, prefork=["2", "1.5"], gevent=["1.5", "2"]).passed
    assert on_machines(ONE, prefork=["2"], gevent=[]).passed
    check = on_machines(ONE, prefork=["2"], gevent=["2", "1.5"])
    assert check.withholds
    assert check.reason == "The pools could use different numbers of cores: gevent 1.5 and 2, prefork 2."


def test_other_jobs_count_by_the_slots_and_cpu_that_they_took() -> None:
    assert fairness.alone({}, {}).passed
    assert fairness.alone({"gevent": 0.05}, {"gevent": 0.05, "prefork": 0.0}).passed
    check = fairness.alone(
        {"gevent": 0.25, "prefork": 0.01}, {"gevent": 0.06, "prefork": 0.5, "threads": 0.02}
    )
    assert check.withholds
    assert check.reason == (
        "Other jobs took slots or CPU from gevent (25 % of its slots, 6.0 % of the cores), "
        "prefork (50 % of the cores)."
    )
    assert check.pools == ("gevent", "prefork")


def test_a_busy_machine_is_a_warning() -> None:
    check = fairness.other_load({"gevent": 1.5, "prefork": 0.3, "threads": None}, cores=2)
    assert (check.passed, check.withholds) == (False, False)
    assert "used 1.5 of 2 cores while gevent ran" in check.reason
    assert fairness.other_load({"gevent": 0.9}, cores=2).passed


def test_one_failure_in_a_hundred_is_a_warning_and_more_withholds() -> None:
    assert fairness.failures({"gevent": (100, 0)}).passed
    assert not fairness.failures({"gevent": (100, 1)}).withholds
    check = fairness.failures({"gevent": (100, 2), "prefork": (100, 1)})
    assert check.withholds
    assert check.pools == ("gevent",)


def test_stamps_within_the_clocks_resolution_pass() -> None:
    assert fairness.clocks({"gevent": [0.0009]}, 10).passed
    assert fairness.clocks({"gevent": [0.002], "prefork": []}, 10).pools == ("gevent",)


def test_a_failed_check_takes_its_pools_out_or_all() -> None:
    some, every = checks.failed("alone", "why", ["gevent"]), checks.failed("code", "why")
    assert checks.objection([some], "gevent", "prefork") == "why"
    assert checks.objection([some], "threads", "prefork") == ""
    assert checks.objection([every], "threads") == "why"
    assert checks.objection([every.model_copy(update={"matters": False})], "threads") == ""


def test_every_validity_check_has_a_title() -> None:
    assert all(checks.passed(key).title for key in checks.TITLES)


def test_every_validity_check_that_withholds_has_a_remedy() -> None:
    warnings = {"other_load", "stalls", "spread"}
    general = checks.remedy("unheard of")
    assert general == "Repeat the comparison."
    without = {key for key in checks.TITLES if checks.remedy(key) == general}
    assert without == warnings | {"parameters"}, "other parameters come from a batch's own row"


# --- slots ----------------------------------------------------------------------------------------------
def test_a_pool_that_fills_its_slots_passes() -> None:
    assert not effects.is_far_below(WAITING)


def test_one_job_after_another_is_far_below_many_slots() -> None:
    assert effects.is_far_below(replace(WAITING, peak=1, mean=0.9))


def test_four_at_a_time_where_fifty_could_run_is_far_below() -> None:
    starts = [0.001 * n if n < 4 else 0.1 * (n // 4) + 0.001 * (n % 4) for n in range(100)]
    assert effects.is_far_below(replace(WAITING, peak=4, mean=3.9, starts_s=starts))


def test_jobs_as_fast_as_they_can_be_started_are_not_limited_by_slots() -> None:
    starts = [0.02 * n for n in range(100)]
    assert not effects.is_far_below(replace(WAITING, peak=5, mean=4.9, starts_s=starts))


@pytest.mark.parametrize(
    "bound",
    [
        {"overhead_s": 0.08},
        {"in_flight": 1},
        {"rate_per_s": 10.0},
        {"cpu_s": 0.05, "overhead_s": 0.04},
        {"jobs": 5},
    ],
)
def test_other_limits_of_the_concurrency_pass(bound: dict[str, Any]) -> None:
    assert not effects.is_far_below(replace(WAITING, peak=1, mean=0.9, **bound))


def test_one_computing_job_at_a_time_passes_on_a_loop_but_not_on_prefork() -> None:
    computing = replace(WAITING, cpu_s=0.099, peak=1, mean=0.99)
    assert not effects.is_far_below(computing)
    assert effects.is_far_below(replace(computing, model="prefork", slots=2))


def test_a_pool_with_half_of_its_declared_slots_fails() -> None:
    assert effects.concurrency({}, {"threads": (16, 32)}).reason == "threads had 16 of its 32 slots."
    assert effects.concurrency({}, {"threads": (17, 32)}).passed


# --- stalls and spread ----------------------------------------------------------------------------------
def stall_check(max_s: float, caused_by: str | None, makespan_s: float = 1.0) -> ValidityCheck:
    return effects.stalls({"gevent": Stall(max_s=max_s, caused_by=caused_by)}, {"gevent": makespan_s})


@pytest.mark.parametrize("caused_by", [None, "job"])
def test_a_stall_is_a_warning_whatever_caused_it(caused_by: str | None) -> None:
    check = stall_check(0.5, caused_by)
    assert (check.passed, check.withholds, check.pools) == (False, False, ("gevent",))
    assert ("by its job job" in check.reason) == (caused_by is not None)


def test_a_stall_that_is_short_by_itself_or_for_the_batch_passes() -> None:
    assert stall_check(0.09, None).passed
    assert stall_check(0.5, None, makespan_s=20.0).passed


def test_a_wide_spread_is_a_warning() -> None:
    assert effects.spread({"prefork": 0.1, "gevent": None}).passed
    check = effects.spread({"prefork": 0.2, "gevent": 0.0})
    assert (check.passed, check.withholds, check.pools) == (False, False, ("prefork",))
    assert (
        check.reason
        == "The rounds of a pool differ by more than 10 %, which widens its interval: prefork 20 %."
    )
