"""Tests of this site's jobs as a user of the library writes them, with `poolwise.testing`."""

from collections.abc import Iterator

import pytest

from jobs.cpu import primes
from jobs.endings import flaky, raise_error, succeed
from poolwise import InvalidParameters, get_result, submit
from poolwise.testing import assert_enqueued, manual, perform, refute_enqueued, run_enqueued

pytestmark = pytest.mark.django_db


@pytest.fixture
def queued_only() -> Iterator[None]:
    """Queue the jobs of a test without a broker."""
    with manual():
        yield


def test_the_body_of_a_job_is_called_without_a_row() -> None:
    assert perform(primes, limit=100) == {"primes": 25, "largest": 97}
    with pytest.raises(InvalidParameters, match="limit"):
        perform(primes, limit=1)


@pytest.mark.usefixtures("queued_only")
def test_a_job_is_enqueued_with_its_parameters() -> None:
    submit("cpu.primes", {"limit": 1000}, pool="prefork")
    assert assert_enqueued(primes, pool="prefork", limit=1000).state == "queued"
    refute_enqueued(primes, limit=2000)


@pytest.mark.usefixtures("queued_only")
def test_an_enqueued_job_runs_and_returns_its_result() -> None:
    succeed.enqueue(value="yes")
    assert_enqueued(succeed, count=1, value="yes")
    [job] = run_enqueued(succeed)
    assert (job.state, get_result(job)) == ("succeeded", "yes")


@pytest.mark.usefixtures("queued_only")
def test_a_failing_job_fails_and_a_flaky_one_is_retried() -> None:
    raise_error.enqueue(message="boom")
    flaky.enqueue(succeed_on=2)
    failed, retried = run_enqueued(with_scheduled=True)
    assert (failed.state, failed.attempt) == ("failed", 1)
    assert (retried.state, retried.attempt) == ("succeeded", 2)
