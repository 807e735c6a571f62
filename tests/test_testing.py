"""`poolwise.testing`: what a project's tests use; nothing here reaches a broker."""

from datetime import timedelta

import pytest
from django.utils import timezone

from jobs.endings import flaky, log_lines, raise_error, succeed
from jobs.io import wait
from poolwise import InvalidParameters, Job, UnknownJob, get_job, get_result, submit, testing

pytestmark = pytest.mark.django_db


def test_a_submitted_job_is_asserted_with_some_of_its_parameters() -> None:
    with testing.manual():
        submitted = submit("endings.succeed", {"value": "tea"}, pool="threads")[0]
        assert testing.assert_enqueued(succeed, value="tea", pool="threads") == submitted
        testing.assert_enqueued("endings.succeed", count=1)
        testing.refute_enqueued(succeed, value="coffee")


def test_a_failed_assertion_lists_what_is_queued() -> None:
    with testing.manual():
        wait.enqueue(duration_s=0.5)
        with pytest.raises(AssertionError, match=r"endings.succeed.*\n.*io\.wait on .*0\.5"):
            testing.assert_enqueued(succeed)
        with pytest.raises(AssertionError, match=r"2 job.*1 queued"):
            testing.assert_enqueued(wait, count=2)
        with pytest.raises(AssertionError, match=r"No job of io\.wait"):
            testing.refute_enqueued(wait)


def test_queued_jobs_run_here_and_their_outcomes_are_recorded() -> None:
    with testing.manual():
        good, bad = succeed.enqueue(value="tea"), raise_error.enqueue(message="no milk")
        assert {job.state for job in testing.run_enqueued()} == {"succeeded", "failed"}
    assert get_result(get_job(good.id)) == "tea"
    assert get_job(bad.id).error == "no milk"
    assert get_result(get_job(bad.id)) is None
    assert testing.all_enqueued() == []


def test_retries_run_with_the_scheduled_jobs() -> None:
    with testing.manual():
        flaky.enqueue(succeed_on=3)
        assert [(job.state, job.attempt) for job in testing.run_enqueued(with_scheduled=True)] == [
            ("succeeded", 3)
        ]


def test_a_scheduled_job_waits_for_its_time() -> None:
    with testing.manual():
        succeed.using(run_after=timezone.now() + timedelta(hours=1)).enqueue()
        assert testing.run_enqueued() == []
        assert [job.state for job in testing.run_enqueued(with_scheduled=True)] == ["succeeded"]


def test_inline_jobs_have_run_when_their_submission_returns() -> None:
    with testing.inline():
        job = submit("endings.log_lines", {"count": 3}, pool="asyncio")[0]
    job.refresh_from_db()
    assert (job.state, job.worker, job.logs.get().lines[0][2]) == ("succeeded", "inline", "Line 1 of 3")


def test_a_failing_inline_job_does_not_fail_its_submitter() -> None:
    with testing.inline():
        raise_error.enqueue(message="no milk")
    assert Job.objects.get().state == "failed"


def test_perform_returns_what_the_body_returns_and_stores_nothing() -> None:
    assert testing.perform(succeed, value="tea") == "tea"
    assert testing.perform(log_lines, count=1) == {"lines": 1}
    with pytest.raises(InvalidParameters):
        testing.perform(wait, duration_s="long")
    assert not Job.objects.exists()


def test_an_unknown_job_is_named_in_the_error() -> None:
    with pytest.raises(UnknownJob, match="no-such-id"):
        get_job("no-such-id")
