"""The validity checks and the advice, each a pure function, at its edges."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from poolwise.lab.advice import decide, kinds, sentences
from poolwise.lab.report import BatchFigures, Report, ValidityCheck, VariantFigures
from poolwise.lab.report.figures import Percentiles, Stall
from poolwise.lab.report.model import Pair, Validity
from poolwise.lab.statistics import Concurrency
from poolwise.lab.validity import checks, fairness
from poolwise.lab.validity import measured as effects
from poolwise.lab.validity.measured import Load
from tests.helpers import report_sample as sample

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
def test_what_differs_between_pools_withholds_the_verdict(rule: Any) -> None:
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


def test_other_jobs_are_named_with_where_they_ran() -> None:
    assert fairness.alone({"gevent": 0}, {"gevent": 0}).passed
    check = fairness.alone({"gevent": 2}, {"gevent": 1, "prefork": 3})
    assert "gevent (2 in the pool, 1 on the machine), prefork (3 on the machine)" in check.reason
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


def test_a_failed_check_withholds_its_pools_verdicts_or_all() -> None:
    some, every = checks.failed("alone", "why", ["gevent"]), checks.failed("code", "why")
    assert checks.objection([some], "gevent", "prefork") == "why"
    assert checks.objection([some], "threads", "prefork") == ""
    assert checks.objection([every], "threads") == "why"
    assert checks.objection([every.model_copy(update={"matters": False})], "threads") == ""


def test_every_validity_check_has_a_title() -> None:
    assert all(checks.passed(key).title for key in checks.TITLES)


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


def test_a_stall_that_no_job_caused_is_a_disturbance() -> None:
    assert stall_check(0.5, None).withholds
    assert not stall_check(0.5, "job").withholds
    assert stall_check(0.09, None).passed
    assert stall_check(0.5, None, makespan_s=20.0).passed  # short relative to the batch


def test_spread_matters_where_it_could_explain_the_difference() -> None:
    assert effects.spread({"prefork": 0.1, "gevent": None}, {"gevent": 1.05}, "prefork").passed
    assert effects.spread({"prefork": 0.2, "gevent": 0.0}, {"gevent": 1.15}, "prefork").withholds
    assert effects.spread({"prefork": 0.0, "gevent": 0.2}, {"gevent": 1 / 1.15}, "prefork").withholds
    assert not effects.spread({"prefork": 0.2, "gevent": 0.0}, {"gevent": 9.0}, "prefork").withholds


# --- advice ---------------------------------------------------------------------------------------------
GEVENT = next(pool for pool in sample.report().pools if pool.name == "gevent")


def measured(jobs: int, slots: int, peak: int) -> BatchFigures:
    reached = Concurrency(peak=peak, mean=peak - 0.5)
    return GEVENT.batches[0].model_copy(update={"jobs": jobs, "slots": slots, "concurrency": reached})


def figures(name: str, rate: float, *, busy_s: float = 0.1, **changes: Any) -> VariantFigures:
    time = GEVENT.time.model_copy(update={"cpu_s": busy_s})
    plain = {
        "name": name, "model": name, "slots": 4, "jobs_per_s": rate, "cpu_share": 0.01,
        "run_s": Percentiles(p50=0.1, p95=0.1), "makespans_s": [1.0], "time": time, "stall": None,
        "peak_memory_bytes": 80_000_000, "batches": [measured(jobs=100, slots=4, peak=4)],
    }  # fmt: skip
    return GEVENT.model_copy(update=plain | changes)


def pair(base: str, other: str, outcome: str, reason: str = "") -> dict[str, Any]:
    verdict = {"outcome": outcome, "ratio": 9.6, "low": 9.3, "high": 9.9, "reason": reason}
    return {"base": base, "other": other, **verdict}


def report(
    *pools: VariantFigures,
    outcome: str = "faster",
    valid: bool = True,
    more_pairs: Sequence[Any] = (),
    **changes: Any,
) -> Report:
    first, *others = [pool.name for pool in pools]
    pairs = [pair(first, other, outcome, "3 rounds are too few") for other in others]
    failed = [] if valid else [checks.failed("alone", "Other jobs ran.")]
    return sample.report(
        pools=pools, baseline=first, pairs=[*pairs, *more_pairs], verdicts=dict(zip(others, pairs, strict=True)),
        validity=Validity.of(failed), **changes,
    )  # fmt: skip


def test_the_advice_names_pool_and_slots_with_the_figures_behind_it() -> None:
    gevent = figures("gevent", 960, slots=200, peak_memory_bytes=70_000_000, batches=[])
    advice = decide.advise(report(figures("prefork", 100), gevent), cores=2)
    assert advice is not None
    assert advice.text == (
        "Run it on gevent with 200 slots: the job waits for 99 % of its run, and it did 960 jobs/s, 9.6× prefork "
        "(95 % CI 9.3–9.9). A slot takes 0.35 MB there and 20 MB on prefork."
    )
    assert advice.proven
    assert "computes for more than 30 % of its run (now 1.0 %)" in advice.would_change


def test_an_equal_rival_is_named_with_its_figures() -> None:
    lean = figures("gevent", 950, slots=200, peak_memory_bytes=60_000_000, batches=[])
    equal = pair("gevent", "asyncio", "no difference detected")
    given = report(figures("prefork", 100), lean, figures("asyncio", 960), more_pairs=[equal])
    advice = decide.advise(given, cores=2)
    assert advice is not None
    assert (advice.pool, advice.proven) == ("gevent", True)
    assert "(95 % CI 9.3–9.9), against 960 on asyncio, no difference detected." in advice.text


def test_of_equal_pools_one_without_stalls_then_with_less_memory_is_advised() -> None:
    small = figures("gevent", 99, peak_memory_bytes=60_000_000)
    pools = [figures("threads", 100), small]
    pairs = [Pair.model_validate(pair("threads", "gevent", "no difference detected"))]
    assert decide.best(pools, pairs).name == "gevent"
    stalled = small.model_copy(update={"stall": Stall(max_s=0.4, caused_by=None)})
    assert decide.best([pools[0], stalled], pairs).name == "threads"


@pytest.mark.parametrize(
    ("cpu_share", "busy_cores", "pool"),
    [(0.02, 0.1, "gevent"), (0.5, 0.5, "threads"), (0.95, 1.0, "prefork"), (0.95, 1.9, "threads")],
)
def test_by_kind_waiting_goes_to_a_loop_and_computing_to_processes_or_threads(
    cpu_share: float, busy_cores: float, pool: str
) -> None:
    pools = [figures(name, 100, busy_s=busy_cores) for name in ("prefork", "threads", "gevent")]
    assert decide.by_kind(pools, cpu_share, cores=2).name == pool


@pytest.mark.parametrize(
    ("outcome", "valid", "reason"),
    [("cannot tell", True, "3 rounds are too few"), ("faster", False, "Other jobs ran")],
)
def test_the_advice_gives_the_reason_why_there_is_no_verdict(outcome: str, valid: bool, reason: str) -> None:
    advice = decide.advise(
        report(figures("prefork", 100), figures("gevent", 960), outcome=outcome, valid=valid), cores=2
    )
    assert advice is not None
    assert not advice.proven
    assert f"but there is no verdict ({reason})." in advice.text


def test_the_rival_without_a_verdict_is_named_where_others_are_slower() -> None:
    noise = pair("gevent", "asyncio", "cannot tell", "too noisy: the ratio is between")
    pools = figures("prefork", 100), figures("gevent", 950), figures("asyncio", 960)
    given = report(*pools, more_pairs=[noise])
    advice = decide.advise(given, cores=2)
    assert advice is not None
    assert not advice.proven
    assert (
        "but there is no verdict between asyncio and gevent (too noisy: the ratio is between)." in advice.text
    )


def test_slots_are_the_knee_the_cores_or_what_was_used() -> None:
    pool = figures("gevent", 100, slots=200, batches=[])
    swept = report(pool, sweep={"gevent": sample.sweep()["gevent"]})
    assert decide.slots_for(swept, pool, 2, 0.01) == 16
    assert decide.slots_for(report(pool), pool, 2, 0.95) == 2
    assert decide.slots_for(report(pool), pool, 2, 0.01) == 200
    full = pool.model_copy(update={"batches": [measured(jobs=500, slots=200, peak=40)]})
    assert decide.slots_for(report(pool), full, 2, 0.01) == 40


def test_the_cores_of_computing_threads_show_whether_the_gil_is_released() -> None:
    free = figures("threads", 100, cpu_share=0.95, busy_s=1.9)
    assert kinds.releases_gil([free])
    assert "used 1.9 of 2 cores, so the GIL is released" in sentences.costs(free, [free], 2)
    held = figures("threads", 100, cpu_share=0.95, busy_s=1.0)
    assert not kinds.releases_gil([held])
    assert kinds.releases_gil([figures("gevent", 1)]) is None


@pytest.mark.parametrize(
    ("model", "cpu_share"),
    [("gevent", 0.1), ("threads", 0.9), ("prefork", 0.9), ("prefork", 0.1), ("threads", None)],
)
def test_every_advice_has_what_would_change_it(model: str, cpu_share: float | None) -> None:
    assert sentences.would_change(figures(model, 1), cpu_share).endswith(".")
