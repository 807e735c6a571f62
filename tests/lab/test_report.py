"""The report of a comparison: its figures and its answer."""

import json
import re
from datetime import timedelta
from typing import Any

import pytest

from poolwise.lab import report
from poolwise.lab.report import Report, VariantFigures, facts
from poolwise.models import Batch, Comparison, Job
from tests.helpers.comparison_rows import FAST, NOON, SLOW, batch, compared, probe

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("four_pools")]


def pool(built: Report, name: str) -> VariantFigures:
    return next(pool for pool in built.pools if pool.name == name)


def test_the_faster_pool_is_recommended_with_its_ratio_and_interval() -> None:
    built = report.build(compared({"prefork": SLOW, "gevent": FAST}))
    assert built.validity.valid, built.validity
    assert built.answer.text == "Run io.wait on gevent (4 slots). It is 10.0× as fast as prefork."
    assert (built.answer.state, built.answer.pool, built.answer.rounds) == ("settled", "gevent", 5)
    prefork = built.answer.standing("prefork")
    assert prefork is not None
    assert prefork.role == "out"
    assert prefork.ratio == pytest.approx(10)
    assert built.baseline == "prefork"


def test_every_pair_is_in_the_report_with_the_baseline_first() -> None:
    rounds = {"gevent": FAST, "asyncio": [value * 1.001 for value in FAST], "prefork": SLOW}
    pairs = report.build(compared(rounds)).pairs
    assert [(pair.base, pair.other, pair.outcome) for pair in pairs] == [
        ("prefork", "gevent", "faster"),
        ("prefork", "asyncio", "faster"),
        ("gevent", "asyncio", "equally fast"),
    ]
    assert pairs[0].ratio == pytest.approx(10)
    assert pairs[2].reason == "within ±5 %"


def test_a_pair_that_rounds_do_not_tell_apart_has_its_interval_as_reason() -> None:
    noisy = [0.1, 0.14, 0.08, 0.13, 0.09]
    [pair] = report.build(compared({"prefork": FAST, "gevent": noisy})).pairs
    assert pair.outcome == "cannot tell"
    assert re.fullmatch(r"between 0\.\d\d× and 1\.\d\d×", pair.reason)
    [few] = report.build(compared({"prefork": SLOW[:2], "gevent": FAST[:2]})).pairs
    assert (few.outcome, few.reason) == ("cannot tell", "3 rounds are the fewest for an interval")


def test_a_stored_report_is_plain_json_on_the_comparison() -> None:
    comparison = compared({"prefork": SLOW, "gevent": FAST})
    built = report.freeze(comparison)
    comparison.refresh_from_db()
    assert comparison.report == json.loads(json.dumps(comparison.report)) == built.model_dump(mode="json")
    assert report.load(comparison) == built


def test_a_pool_has_its_batches_with_the_ideal_beside_the_makespan() -> None:
    figures = pool(report.build(compared({"prefork": SLOW, "gevent": FAST})), "prefork")
    first = figures.batches[0]
    assert first.makespan_s == first.ideal_makespan_s == 1.0
    assert first.efficiency == 1
    assert first.jobs_per_s == 4
    assert (first.concurrency.peak, first.concurrency.mean) == (4, 4)
    assert first.cpu_s_pool == pytest.approx(0.2)
    assert first.peak_memory_bytes == 62_000_000


def test_warm_up_calibration_and_void_batches_are_shown_and_do_not_count() -> None:
    comparison = compared({"prefork": SLOW})
    batch(comparison, "prefork", 0, 9.0, role=Batch.Role.WARMUP)
    batch(comparison, "prefork", 0, 0.02, role=Batch.Role.CALIBRATION)
    batch(comparison, "prefork", 1, 8.0, void_reason="its worker was killed")
    figures = pool(report.build(comparison), "prefork")
    assert [batch.role for batch in figures.batches] == ["measured"] * 5 + [
        "warmup",
        "calibration",
        "measured",
    ]
    assert figures.batches[-1].void_reason == "its worker was killed"
    assert figures.makespans_s == SLOW
    assert figures.jobs == 20
    assert figures.overhead_s == pytest.approx(0.005)


def test_the_time_of_the_runs_adds_up_to_the_runs() -> None:
    comparison = compared({"threads": [1.0]}, copies=2)
    known = {"cpu_s": 0.2, "run_queue_s": 0.3, "gil_wait_s": 0.1, "blocked_s": 0.4}
    batch(comparison, "threads", 2, 1.0, jobs=known)
    batch(comparison, "threads", 3, 1.0, jobs={"cpu_s": 0.2, "run_queue_s": None, "gil_wait_s": None})
    time = pool(report.build(comparison), "threads").time
    assert sum(time.model_dump().values()) == pytest.approx(6)
    assert time.run_queue_s == pytest.approx(2 * 0.3)
    assert time.blocked_s == pytest.approx(2 * 0.4)
    assert time.unattributed_s == pytest.approx(2 * (0.8 + 0.99))


def test_a_sweep_has_its_points_and_compares_the_most_slots() -> None:
    comparison = compared({"threads": [0.1]}, is_sweep=True)
    comparison.batches.all().delete()
    for slots, span_s in ((1, 4.0), (2, 2.0), (4, 1.9)):
        batch(comparison, "threads", 1, span_s, slots=slots, wanted_slots=slots)
    built = report.build(comparison)
    points = built.sweep["threads"]
    assert [(point.slots, point.jobs_per_s) for point in points] == [
        (1, 1),
        (2, 2),
        (4, pytest.approx(4 / 1.9)),
    ]
    assert [point.slots for point in points if point.is_knee] == [2]
    assert pool(built, "threads").makespans_s == [1.9]
    assert built.answer.text == "Run io.wait on threads (2 slots): more slots add little."


def test_an_open_loop_compares_how_long_jobs_took_from_when_they_were_due() -> None:
    comparison = compared({"prefork": SLOW, "gevent": FAST}, arrival_rate_per_s=2.0)
    for row in comparison.batches.all():
        for number, job in enumerate(row.jobs.all()):
            late_s = 0.5 * number + (0.3 if row.pool == "gevent" else 0.0)  # the sender was late
            took_s = 1.0 if row.pool == "prefork" else 0.1
            Job.objects.filter(pk=job.pk).update(
                **dict.fromkeys(
                    ("published_at", "received_at", "started_at"), row.released_at + timedelta(seconds=late_s)
                ),
                finished_at=row.released_at + timedelta(seconds=late_s + took_s),
            )
    built = report.build(comparison)
    assert built.metric == "completion time: from when a job was due to its end, the median of a batch"
    prefork = built.answer.standing("prefork")
    assert prefork.ratio == pytest.approx(1.0 / 0.4, rel=0.01)


def test_a_comparison_that_has_not_begun_has_a_report_without_figures() -> None:
    comparison = Comparison.objects.create(definition="io.wait", copies=2)
    Batch.objects.create(comparison=comparison, pool="gevent", round=1, position=1)
    built = report.build(comparison)
    assert built.pools[0].jobs == 0
    assert (built.answer.state, built.answer.pool) == ("none", "")
    assert json.dumps(built.model_dump(mode="json"))


def test_one_pool_alone_is_not_compared() -> None:
    built = report.build(compared({"gevent": FAST}))
    assert built.pairs == []
    assert built.answer.text == "Nothing to compare: choose at least two pools."
    assert built.pools[0].jobs_per_s == pytest.approx(40, rel=0.02)


def test_samples_are_the_jobs_in_seconds_with_their_batch(django_assert_max_num_queries: Any) -> None:
    comparison = compared({"prefork": SLOW, "gevent": FAST})
    batch(comparison, "gevent", 1, 8.0, void_reason="it was void")
    with django_assert_max_num_queries(3):
        rows = report.samples(comparison)
    assert len(rows) == 40
    assert rows[0]._fields == report.SAMPLE_COLUMNS
    assert rows[0].published_at == NOON + timedelta(seconds=100)
    assert {row.pool for row in rows} == {"prefork", "gevent"}


@pytest.mark.parametrize(("reported", "cores"), [("1.5", 2), ("0.5", 1), ("many", 8), (None, 8)])
def test_the_cores_are_those_of_the_workers_where_they_reported_them(
    reported: str | None, cores: int
) -> None:
    comparison = compared({"prefork": SLOW, "gevent": FAST}, environment={"cores": 8})
    versions = {"python": "3.13.5"} | ({"cores": reported} if reported else {})
    for pool in ("prefork", "gevent"):
        comparison.batches.filter(pool=pool).update(probe=probe(pool, 4, versions=versions))
    assert facts.read(comparison).cores == cores
