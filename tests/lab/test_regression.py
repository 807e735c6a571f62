"""`compare --check`: the change of each pool since a bundle, and which bundles cannot be checked against."""

import io
from collections.abc import Sequence
from typing import Any

import pytest
from django.db.models import F

from poolwise.lab import bundle as bundles
from poolwise.lab import report
from poolwise.lab.bundle import regression
from poolwise.lab.bundle.shape import PlannedComparison
from poolwise.lab.report import Report
from poolwise.models import Batch, Comparison, Job
from poolwise.support import BrokerUnavailable
from tests.helpers.comparison_rows import ENVIRONMENT, FAST, SLOW, compared
from tests.helpers.comparison_rows import batch as a_batch

pytestmark = [pytest.mark.django_db, pytest.mark.slow, pytest.mark.usefixtures("two_pools")]
PYTHON = {"python": "CPython 3.13.5", "cpu_model": "Model A"}


def report_of(
    spans: Sequence[float] = FAST,
    *,
    prefork: Sequence[float] = SLOW,
    yardstick_s: float | None = 0.005,
    blocked: float = 0.0,
    slots: int = 4,
    copies: int = 4,
    **environment: Any,
) -> Report:
    """Return the report of a comparison whose jobs are blocked for this share of their runs, else compute."""
    comparison = compared({"prefork": prefork, "gevent": spans}, environment=ENVIRONMENT | PYTHON | environment,
                          slots=slots, copies=copies)  # fmt: skip
    Job.objects.filter(batch__comparison=comparison).update(
        cpu_s=(1 - blocked) * F("run_s"), blocked_s=blocked * F("run_s")
    )
    measure(comparison, dict.fromkeys(("prefork", "gevent"), yardstick_s))
    return report.build(comparison)


def measure(comparison: Comparison, yardsticks_s: dict[str, float | None]) -> None:
    """Set the yardstick of each pool's batches."""
    batches = list(comparison.batches.all())
    for batch in batches:
        batch.probe["yardstick_s"] = yardsticks_s[batch.pool]
    Batch.objects.bulk_update(batches, ["probe"])


def change_of(before: Report, after: Report, **options: Any) -> bundles.Change:
    """Return the change of gevent."""
    return {change.pool: change for change in bundles.changes(before, after, **options)}["gevent"]


def test_a_pool_that_became_slower_by_more_than_allowed_is_a_regression() -> None:
    before, after = report_of(), report_of([1.3 * s for s in FAST])
    prefork, gevent = bundles.changes(before, after)
    assert gevent.is_regression
    assert gevent.text.startswith("gevent: slower: 1.30× as long as before (95 % bounds 1.2")
    assert prefork.text.startswith("prefork: no change: 1.00× as long as before (95 % b")
    assert bundles.summary([prefork, gevent], 0.1) == "Slower by more than 10 %: gevent."
    assert not change_of(before, after, max_regression=0.5).is_regression


def test_a_ratio_beyond_the_allowance_whose_bound_is_not_is_no_regression() -> None:
    noisy = [0.1, 0.14, 0.09, 0.16, 0.08]
    before, after = report_of(noisy), report_of([1.3 * s for s in noisy])
    change = change_of(before, after)
    assert change.between is not None
    assert change.between.ratio == pytest.approx(1.3)
    assert change.outcome == "cannot tell"
    summary = bundles.summary(bundles.changes(before, after), 0.1)
    assert summary.startswith(
        "No pool is shown to be slower by more than 10 %. More rounds would tell for gevent (up to "
    )


def test_a_faster_pool_is_no_regression() -> None:
    change = change_of(report_of(), report_of([s / 2 for s in FAST]))
    assert change.outcome == "faster"
    assert change.text.startswith("gevent: faster: 0.50× as long as before")


def test_a_slower_machine_is_no_slower_job() -> None:
    slower = report_of([1.3 * s for s in FAST], prefork=[1.3 * s for s in SLOW], yardstick_s=0.0065)
    assert change_of(report_of(), slower).outcome == "no change"
    assert change_of(report_of(), slower).between.ratio == pytest.approx(1.0)


def test_a_slower_machine_does_not_excuse_a_job_that_waits() -> None:
    before = report_of(blocked=1.0)
    after = report_of([1.3 * s for s in FAST], yardstick_s=0.0065, blocked=1.0)
    assert change_of(before, after).between.ratio == pytest.approx(1.3, rel=0.02)


def test_a_faster_machine_does_not_hide_slower_code() -> None:
    assert change_of(report_of(), report_of(FAST, yardstick_s=0.0038)).is_regression


def test_without_a_yardstick_only_large_slowdowns_are_found() -> None:
    old = report_of(yardstick_s=None)
    assert change_of(old, report_of([1.2 * s for s in FAST])).outcome == "cannot tell"
    assert change_of(old, report_of([1.5 * s for s in FAST])).is_regression


def test_the_yardstick_of_another_python_does_not_count() -> None:
    after = report_of(yardstick_s=0.0025, python="CPython 3.14.0")
    assert change_of(report_of(), after).between.yardstick_ratio is None


def test_the_yardstick_of_a_round_is_the_median_over_its_pools() -> None:
    comparison = compared({"prefork": SLOW, "gevent": FAST})
    measure(comparison, {"prefork": 0.006, "gevent": 0.004})
    rounds = bundles.rounds_of(report.build(comparison))
    assert {round_.yardstick_s for own in rounds.values() for round_ in own} == {0.005}


@pytest.mark.parametrize(("copies", "blocked", "follows"), [(4, 1.0, 0.0), (4, 0.25, 0.75), (2, 0.5, 0.5)])
def test_what_follows_the_machine_is_what_the_batch_does_not_wait(
    copies: int, blocked: float, follows: float
) -> None:
    assert regression.follows(report_of(blocked=blocked, copies=copies), "gevent") == pytest.approx(
        follows, abs=0.01
    )


def test_few_jobs_in_flight_wait_one_after_another() -> None:
    assert regression.follows(report_of(blocked=0.2), "gevent", in_flight=2) == pytest.approx(0.6, abs=0.01)
    assert regression.follows(report_of(), "absent") == 1.0


@pytest.mark.parametrize(
    ("then", "now", "reason"),
    [
        ({}, {"cores": 8}, "different machine: cores was 2, is now 8"),
        ({}, {"cpu_quota": 1.5}, "different machine: CPU quota was unknown, is now 1.5"),
        ({"yardstick_s": None}, {"cpu_model": "Model B"}, "processor was Model A, is now Model B, without a yard"),
        ({}, {"slots": 2}, "slots were 4, are now 2"),
        ({}, {"copies": 6}, "a batch had 4 jobs, has now 6"),
    ],
)  # fmt: skip
def test_another_machine_or_design_gives_no_result(then: Any, now: Any, reason: str) -> None:
    by_pool = bundles.changes(report_of(**then), report_of([2 * s for s in FAST], **now))
    assert [change.outcome for change in by_pool] == ["cannot tell"] * 2
    assert reason in by_pool[0].text
    assert bundles.summary(by_pool, 0.1) == "The check has no result for any pool."


def test_another_processor_with_a_yardstick_has_a_result_with_wider_bounds() -> None:
    same, other = (change_of(report_of(), report_of(cpu_model=model)) for model in ("Model A", "Model B"))
    assert same.between.high < other.between.high < 1.2


def test_other_slots_and_copies_may_be_what_is_compared() -> None:
    change = change_of(report_of(), report_of(slots=3, copies=6), same_design=False)
    assert change.between is not None


def test_a_failed_check_of_the_new_run_withholds_its_pools_change() -> None:
    comparison = compared(
        {"prefork": SLOW, "gevent": [2 * s for s in FAST]}, environment=ENVIRONMENT | PYTHON
    )
    comparison.batches.filter(pool="gevent").first().jobs.update(state="failed")
    prefork, gevent = by_pool = bundles.changes(report_of(), report.build(comparison))
    assert gevent.outcome == "cannot tell"
    assert "4 of 20 on gevent" in gevent.text
    assert gevent.text.endswith("(now)")
    assert prefork.between is not None
    assert bundles.summary(by_pool, 0.1).endswith("No result for gevent.")


def test_two_rounds_give_no_result() -> None:
    change = change_of(report_of(), report_of(FAST[:2], prefork=SLOW[:2]))
    assert change.text == "gevent: cannot tell: 5 rounds then and 2 now; 3 each are the fewest"


# --- before the run -----------------------------------------------------------------------------------------------
NOW = ENVIRONMENT | PYTHON


def faults(
    before: Report, *, now: Any = NOW, slots: int = 4, pools: Any = ("prefork", "gevent")
) -> list[str]:
    return bundles.faults(before, now=now, slots=dict.fromkeys(pools, slots), pools=pools, max_regression=0.1)


def test_a_bundle_of_the_same_machine_with_rounds_enough_is_a_baseline() -> None:
    assert faults(report_of()) == []
    assert faults(report_of(), now=NOW | {"cpu_model": "Model B"}) == []
    assert faults(report_of(yardstick_s=None)) == []


@pytest.mark.parametrize(
    ("then", "now", "words"),
    [
        ({"prefork": SLOW[:2], "spans": FAST[:2]}, {}, "prefork has 2 rounds in the bundle: record a new bundle"),
        ({}, {"slots": 8}, "prefork had 4 slots and has 8 now: set its slots as before, or record"),
        ({}, {"now": NOW | {"cores": 8}}, "Different machine: cores was 2, is now 8. Record a new bundle with"),
        ({"yardstick_s": None}, {"now": NOW | {"cpu_model": "Model B"}}, "without a yardstick in both. Record"),
        ({"prefork": [1, 4, 1, 4, 1]}, {}, "prefork: its rounds differ so much that only a slowdown of"),
    ],
)  # fmt: skip
def test_what_cannot_be_a_baseline_is_refused_with_what_to_do(then: Any, now: Any, words: str) -> None:
    assert words in faults(report_of(**then), **now)[0]


def test_a_pool_with_a_failed_check_is_refused_unless_it_is_left_out() -> None:
    comparison = compared({"prefork": SLOW, "gevent": FAST}, environment=NOW)
    comparison.batches.filter(pool="gevent").first().jobs.update(state="failed")
    before = report.build(comparison)
    assert (
        "record a new bundle with `compare --bundle`, or leave the pool out with `--pools`."
        in faults(before)[0]
    )
    assert faults(before, pools=["prefork"]) == []


def test_what_a_check_would_find_grows_with_its_pools() -> None:
    before = report_of()
    two = bundles.smallest_found(before, ["prefork", "gevent"], max_regression=0.1)
    one = bundles.smallest_found(before, ["gevent"], max_regression=0.1)
    assert list(two) == ["prefork", "gevent"]
    assert 1.1 < one["gevent"] < two["gevent"] < 1.3


def planned(**options: Any) -> PlannedComparison:
    return PlannedComparison(
        definition="io.wait", params={}, pools=["prefork"], copies=1, rounds=3, **options
    )


def test_the_slots_of_a_check_are_planned_or_those_of_the_workers_or_declared(monkeypatch: Any) -> None:
    monkeypatch.setattr("poolwise.lifecycle.heartbeats.pools_up", dict)
    assert bundles.slots_now(planned()) == {"prefork": 4}
    assert bundles.slots_now(planned(slots=2)) == {"prefork": 2}
    assert bundles.slots_now(planned(slots=16, is_sweep=True)) == {"prefork": 4}

    def unavailable() -> Any:
        raise BrokerUnavailable

    monkeypatch.setattr("poolwise.lifecycle.heartbeats.pools_up", unavailable)
    assert bundles.slots_now(planned()) == {"prefork": 4}


@pytest.mark.parametrize(("hosts", "is_known"), [([], True), (["here"], True), (["elsewhere"], False)])
def test_the_environment_is_not_known_where_a_coordinator_elsewhere_captures_it(
    monkeypatch: Any, hosts: list[str], is_known: bool
) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "here")
    monkeypatch.setattr(
        "poolwise.lifecycle.heartbeats.coordinator_is_up",
        lambda host=None: bool(hosts) and host in (None, *hosts),
    )
    monkeypatch.setattr("poolwise.lifecycle.environment.capture", lambda: NOW)
    assert bundles.environment_now() == (NOW if is_known else None)


@pytest.mark.usefixtures("no_charts")
def test_a_bundle_with_a_budget_is_repeated_with_its_rounds_and_sizes() -> None:
    comparison = compared({"prefork": SLOW[:3], "gevent": FAST[:3]}, budget_s=30.0, baseline="prefork")
    for number in (4, 5):
        a_batch(comparison, "gevent", number, 0.1)
    for batch in comparison.batches.filter(pool="gevent"):
        Job.objects.filter(pk=batch.jobs.first().pk).delete()  # its batches are smaller than the others
    report.freeze(comparison)
    read = bundles.read(io.BytesIO(bundles.write(comparison)))
    again = bundles.plan_again(read, ["prefork", "gevent"])
    assert (again.budget_s, again.rounds, again.warmup, again.baseline) == (None, 5, True, "prefork")
    measured = again.batches.filter(role="measured")
    assert {(batch.pool, batch.copies) for batch in measured} == {("prefork", 4), ("gevent", 3)}
    assert measured.count() == 10
    part = bundles.plan_again(read, ["gevent"])
    assert (part.baseline, part.batches.filter(role="measured").count()) == ("", 5)
