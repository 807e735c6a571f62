"""The report of a comparison: its figures, its verdict, and what withholds it."""

import json
from datetime import timedelta
from typing import Any

import pytest

from poolwise.lab import report
from poolwise.lab.report import Report, ValidityCheck, VariantFigures, facts
from poolwise.lab.report.figures import Stall
from poolwise.models import Batch, Comparison, JobState
from tests.helpers.comparison_rows import NOON, batch, compared, probe

pytestmark = pytest.mark.django_db
SLOW = [1.0, 1.01, 0.99, 1.02, 1.0]
FAST = [0.1, 0.101, 0.099, 0.102, 0.1]


@pytest.fixture(autouse=True)
def _pools(settings: Any) -> None:
    settings.JOB_POOLS = {
        name: {"model": name, "queue": name, "concurrency": 4}
        for name in ("prefork", "threads", "gevent", "asyncio")
    }


def check(built: Report, key: str) -> ValidityCheck:
    return next(check for check in built.validity.checks if check.id == key)


def pool(built: Report, name: str) -> VariantFigures:
    return next(pool for pool in built.pools if pool.name == name)


def test_the_faster_pool_is_named_in_one_sentence_with_its_ratio_and_interval() -> None:
    built = report.build(compared({"prefork": SLOW, "gevent": FAST}))
    assert built.validity.valid, built.validity
    assert built.sentence.startswith("gevent ran this job 10.0× faster than prefork (95 % CI ")
    assert built.verdicts.keys() == {"gevent"}
    assert built.verdicts["gevent"].outcome == "faster"
    assert built.baseline == "prefork"


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


def test_the_job_that_caused_the_longest_stall_is_named() -> None:
    comparison = compared({"gevent": FAST, "prefork": SLOW})
    jobs = list(comparison.batches.filter(pool="gevent").first().jobs.all())
    type(jobs[0]).objects.filter(pk=jobs[0].pk).update(stall_s=0.5, caused_stall_s=0.5)
    built = report.build(comparison)
    assert pool(built, "gevent").stall == Stall(max_s=0.5, caused_by=str(jobs[0].pk))
    assert not check(built, "stalls").passed
    assert built.validity.valid  # it is what the comparison shows, not a disturbance


def test_a_foreign_job_during_a_batch_withholds_the_verdict_of_its_pool_alone() -> None:
    comparison = compared({"prefork": SLOW, "gevent": FAST, "threads": FAST})
    comparison.batches.filter(pool="threads").update(
        probe={**probe("threads", 4), "foreign": {"pool": 1, "others": 0}}
    )
    built = report.build(comparison)
    assert not built.validity.valid
    assert built.verdicts["threads"].outcome == "cannot tell"
    assert "threads (5 in the pool)" in built.verdicts["threads"].reason
    assert built.verdicts["gevent"].outcome == "faster"
    assert {pair.outcome for pair in built.pairs if "threads" in (pair.base, pair.other)} == {"cannot tell"}


def test_a_withheld_verdict_has_its_reason_in_the_sentence() -> None:
    comparison = compared({"prefork": SLOW, "gevent": FAST})
    comparison.batches.filter(pool="gevent").first().jobs.update(state=JobState.FAILED)
    built = report.build(comparison)
    assert built.sentence.startswith("No verdict between gevent and prefork")
    assert "4 of 20 on gevent" in built.sentence
    assert built.advice.text.startswith("Judging by the kind of job alone, gevent")


def test_a_pool_whose_slots_are_secretly_1_is_caught(settings: Any) -> None:
    comparison = compared({"prefork": SLOW, "gevent": FAST}, copies=10)
    for row in comparison.batches.filter(pool="gevent"):
        for number, job in enumerate(row.jobs.all()):  # one after another
            job.started_at = row.released_at + timedelta(seconds=0.102 * number)
            job.finished_at = job.started_at + timedelta(seconds=0.1)
            job.save()
    outcome = check(report.build(comparison), "concurrency")
    assert not outcome.passed
    assert outcome.matters
    assert outcome.reason == "gevent ran 1 job at a time although it has 4 slots."


def test_a_pool_with_fewer_slots_than_declared_is_caught(settings: Any) -> None:
    settings.JOB_POOLS["gevent"]["concurrency"] = 50
    outcome = check(report.build(compared({"prefork": SLOW, "gevent": FAST})), "concurrency")
    assert outcome.reason == "gevent had 4 of its 50 slots."


def test_workers_of_another_version_or_host_fail_a_validity_check() -> None:
    comparison = compared({"prefork": SLOW, "gevent": FAST})
    other = probe("gevent", 4, host="barn", versions={"python": "3.14.0"})
    comparison.batches.filter(pool="gevent").update(probe=other)
    built = report.build(comparison)
    assert check(built, "machine").reason == "The pools ran on different machines: barn, box."
    assert "python 3.14.0" in check(built, "code").reason


def test_containers_of_one_machine_pass_the_validity_checks() -> None:
    comparison = compared({"prefork": SLOW, "gevent": FAST})
    for pool, container in (("prefork", "27056e03933f"), ("gevent", "372e8347ad93")):
        comparison.batches.filter(pool=pool).update(probe=probe(pool, 4, host=container, machine="a1b2c3"))
    assert check(report.build(comparison), "machine").passed


def test_containers_of_two_machines_fail_a_validity_check_by_their_names() -> None:
    comparison = compared({"prefork": SLOW, "gevent": FAST})
    for pool, container in (("prefork", "27056e03933f"), ("gevent", "372e8347ad93")):
        comparison.batches.filter(pool=pool).update(probe=probe(pool, 4, host=container, machine=pool))
    reason = check(report.build(comparison), "machine").reason
    assert reason == "The pools ran on different machines: 27056e03933f, 372e8347ad93."


def test_a_pool_that_may_use_fewer_cores_fails_a_validity_check() -> None:
    comparison = compared({"prefork": SLOW, "gevent": FAST})
    for pool, cores in (("prefork", "4"), ("gevent", "1.5")):
        moment = probe(pool, 4, versions={"python": "3.13.5", "cores": cores})
        comparison.batches.filter(pool=pool).update(probe=moment)
    built = report.build(comparison)
    assert (
        check(built, "machine").reason
        == "The pools could use different numbers of cores: gevent 1.5, prefork 4."
    )
    assert check(built, "code").passed


def test_a_batch_with_other_parameters_fails_a_validity_check() -> None:
    comparison = compared({"prefork": SLOW, "gevent": FAST})
    comparison.batches.filter(pool="gevent").update(params={"duration_s": 0.2})
    assert not check(report.build(comparison), "parameters").passed


def test_stamps_out_of_order_fail_a_validity_check() -> None:
    comparison = compared({"prefork": SLOW, "gevent": FAST})
    for row in comparison.batches.filter(pool="gevent"):
        row.jobs.update(received_at=row.released_at - timedelta(seconds=0.25))
    outcome = check(report.build(comparison), "clocks")
    assert outcome.reason == "The stamps of 20 of 40 jobs are out of order, by up to 250 ms: clocks differ."


def test_a_wide_spread_withholds_only_the_differences_it_could_explain() -> None:
    noisy = [1.0, 1.4, 0.9, 1.3, 0.8]
    built = report.build(compared({"prefork": noisy, "gevent": FAST, "threads": SLOW}))
    assert not check(built, "spread").passed
    assert check(built, "spread").pools == ("threads",)
    assert built.verdicts["gevent"].outcome == "faster"


def test_a_missing_round_fails_a_validity_check_and_a_repeated_one_is_noted() -> None:
    comparison = compared({"prefork": SLOW, "gevent": FAST})
    lost = comparison.batches.filter(pool="gevent", round=3).get()
    Batch.objects.filter(pk=lost.pk).update(void_reason="Its worker was lost.")
    assert check(report.build(comparison), "complete").reason == "Batches are missing: gevent lacks round 3."
    batch(comparison, "gevent", 3, 0.1)
    outcome = check(report.build(comparison), "complete")
    assert (outcome.passed, outcome.matters) == (False, False)
    assert outcome.reason == "A batch was void and repeated: Its worker was lost."


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
    assert built.advice.slots == 2


def test_an_open_loop_compares_how_long_jobs_took_to_complete() -> None:
    built = report.build(compared({"prefork": SLOW, "gevent": FAST}, arrival_rate_per_s=2.0))
    assert built.metric == "completion time: published to finished"
    assert built.verdicts["gevent"].ratio == pytest.approx(1.002 / 0.102, rel=0.02)


def test_a_comparison_that_has_not_begun_has_a_report_without_figures() -> None:
    comparison = Comparison.objects.create(definition="io.wait", copies=2)
    Batch.objects.create(comparison=comparison, pool="gevent", round=1, position=1)
    built = report.build(comparison)
    assert built.advice is None
    assert built.pools[0].jobs == 0
    assert built.sentence == "Nothing to compare: fewer than two pools have a completed batch."
    assert json.dumps(built.model_dump(mode="json"))


def test_one_pool_alone_is_not_compared_and_still_advised_on() -> None:
    built = report.build(compared({"gevent": FAST}))
    assert built.verdicts == {}
    assert built.advice.pool == "gevent"
    assert "no other pool was compared" in built.advice.text
    assert not built.advice.proven


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
