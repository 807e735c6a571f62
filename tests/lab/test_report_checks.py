"""The validity checks of a report: what fails them, and which pools that takes out of the answer."""

from datetime import timedelta
from typing import Any

import pytest

from poolwise.lab import report
from poolwise.lab.report import Report, ValidityCheck, VariantFigures
from poolwise.lab.report.figures import Stall
from poolwise.models import Batch, JobState
from tests.helpers.comparison_rows import FAST, SLOW, batch, compared, probe

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("four_pools")]


def check(built: Report, key: str) -> ValidityCheck:
    return next(check for check in built.validity.checks if check.id == key)


def pool(built: Report, name: str) -> VariantFigures:
    return next(pool for pool in built.pools if pool.name == name)


def test_the_job_that_caused_the_longest_stall_is_named() -> None:
    comparison = compared({"gevent": FAST, "prefork": SLOW})
    jobs = list(comparison.batches.filter(pool="gevent").first().jobs.all())
    type(jobs[0]).objects.filter(pk=jobs[0].pk).update(stall_s=0.5, caused_stall_s=0.5)
    built = report.build(comparison)
    assert pool(built, "gevent").stall == Stall(max_s=0.5, caused_by=str(jobs[0].pk))
    assert not check(built, "stalls").passed
    assert built.validity.valid  # it is what the comparison shows, not a disturbance


def test_a_stalled_pool_is_not_taken_where_another_is_as_fast() -> None:
    comparison = compared({"gevent": FAST, "threads": FAST})
    comparison.batches.filter(pool="gevent").first().jobs.update(stall_s=0.5, caused_stall_s=0.5)
    answer = report.build(comparison).answer
    assert (answer.pool, answer.tie_reason) == ("threads", "its loop does not stall")


@pytest.mark.parametrize(
    ("others", "taken"),
    [
        ({"slot_s": 0.1, "cpu_s": 0.0}, "threads (25 % of its slots)"),
        ({"slot_s": 0.0, "cpu_s": 0.05}, "threads (25 % of the cores)"),
    ],
)
def test_slots_and_cpu_that_other_jobs_took_take_out_their_pool_alone(others: Any, taken: str) -> None:
    comparison = compared({"prefork": SLOW, "gevent": FAST, "threads": FAST})
    disturbed = comparison.batches.filter(pool="threads").first()
    disturbed.probe["others"] = others
    disturbed.save()
    built = report.build(comparison)
    assert not built.validity.valid
    threads = built.answer.standing("threads")
    assert threads is not None
    assert threads.role == "not measured"
    assert threads.reason == f"Other jobs took slots or CPU from {taken}."
    assert (built.answer.state, built.answer.pool) == ("settled", "gevent")
    assert [(pair.base, pair.other) for pair in built.pairs] == [("prefork", "gevent")]


def test_a_job_of_others_that_waits_disturbs_no_pool() -> None:
    comparison = compared({"prefork": SLOW, "gevent": FAST})
    for row in comparison.batches.all():
        row.probe["others"] = {"slot_s": 0.01, "cpu_s": 0.001}
        row.save()
    built = report.build(comparison)
    assert check(built, "alone").passed
    assert built.answer.state == "settled"


def test_without_two_pools_the_answer_has_the_reason_and_what_to_do() -> None:
    comparison = compared({"prefork": SLOW, "gevent": FAST})
    comparison.batches.filter(pool="gevent").first().jobs.update(state=JobState.FAILED)
    answer = report.build(comparison).answer
    assert (answer.state, answer.pool) == ("none", "")
    assert answer.text == "No answer: jobs did not succeed: 4 of 20 on gevent."
    assert answer.next_step == "Mend what makes the jobs fail, and repeat the comparison."


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


def test_a_wide_spread_is_a_warning_that_widens_the_interval() -> None:
    noisy = [1.0, 1.4, 0.9, 1.3, 0.8]
    built = report.build(compared({"prefork": noisy, "gevent": FAST, "threads": SLOW}))
    spread = check(built, "spread")
    assert (spread.passed, spread.withholds, spread.pools) == (False, False, ("prefork",))
    assert built.answer.pool == "gevent"
    prefork, threads = (built.answer.standing(name) for name in ("prefork", "threads"))
    assert prefork.high / prefork.low > 1.5
    assert threads.high / threads.low == pytest.approx(1)


def test_what_slows_a_whole_round_is_no_spread() -> None:
    weather = [1.0, 1.6, 0.8, 1.3, 0.9]
    built = report.build(compared({"prefork": weather, "gevent": [value / 10 for value in weather]}))
    assert check(built, "spread").passed
    assert built.answer.state == "settled"


def test_a_missing_round_fails_a_validity_check_and_a_repeated_one_is_noted() -> None:
    comparison = compared({"prefork": SLOW, "gevent": FAST})
    lost = comparison.batches.filter(pool="gevent", round=3).get()
    Batch.objects.filter(pk=lost.pk).update(void_reason="Its worker was lost.")
    assert check(report.build(comparison), "complete").reason == "Batches are missing: gevent lacks round 3."
    batch(comparison, "gevent", 3, 0.1)
    outcome = check(report.build(comparison), "complete")
    assert (outcome.passed, outcome.matters) == (False, False)
    assert outcome.reason == "A batch was void and repeated: Its worker was lost."


def test_a_missing_round_takes_out_its_pool_alone() -> None:
    comparison = compared({"prefork": SLOW, "gevent": FAST, "threads": FAST})
    comparison.batches.filter(pool="threads", round=3).update(void_reason="Its worker was lost.")
    answer = report.build(comparison).answer
    assert (answer.state, answer.pool) == ("settled", "gevent")
    assert answer.standing("threads").reason == "Batches are missing: threads lacks round 3."
