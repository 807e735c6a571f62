"""The state machine of a job, without a worker."""

from collections.abc import Callable
from contextvars import Context
from typing import Any

import pytest
from celery.exceptions import SoftTimeLimitExceeded

from jobs.pools.interrupts import HardStop, Interrupted, RevokedStop, Why
from jobs.pools.job import INSIST_TIMES, Job, State


class Timer:
    def __init__(self, delay_s: float, ring: Callable[[], None]) -> None:
        self.delay_s, self.ring, self.is_cancelled = delay_s, ring, False

    def cancel(self) -> None:
        self.is_cancelled = True


class Carrier:
    """A pool that runs jobs here and whose time stands still."""

    def __init__(self) -> None:
        self.timers: list[Timer] = []
        self.ended: list[Job] = []
        self.calls: list[tuple[Any, ...]] = []

    def reach_out(self, job: Job) -> None:
        job.deliver()

    def call_later(self, delay_s: float, call: Callable[[], None]) -> Timer:
        self.timers.append(Timer(delay_s, call))
        return self.timers[-1]

    def detach(self, call: Callable[[], None]) -> None:
        call()

    def finished(self, job: Job) -> None:
        self.ended.append(job)

    def given_up(self, job: Job) -> None:
        self.calls.append(("given up",))

    def job(self, target: Callable[[Job], Any], **options: Any) -> Job:
        def tell(name: str) -> Callable[..., None]:
            return lambda *args: self.calls.append((name, *args))

        callbacks: dict[str, Any] = {name: tell(name) for name in ("accept", "success", "error", "timeout")}
        job = Job(self, 7, lambda: target(job), **{**callbacks, **options})
        return job

    def run(self, target: Callable[[Job], Any], **options: Any) -> Job:
        job = self.job(target, **options)
        Context().run(job.run)  # a job leaves its marks in the context
        return job

    @property
    def names(self) -> list[str]:
        return [call[0] for call in self.calls]


@pytest.fixture
def carrier() -> Carrier:
    return Carrier()


def raise_here(why: Why) -> None:
    """Stand for what a carrier does to interrupt a body that runs right here."""
    raise {Why.HARD: HardStop, Why.REVOKED: RevokedStop, Why.SOFT: SoftTimeLimitExceeded}[why]()


def body(work: Callable[[Job], Any]) -> Callable[[Job], Any]:
    return lambda job: job.call(raise_here, lambda: work(job))


def test_a_job_is_accepted_then_succeeds_then_gives_its_slot_back(carrier: Carrier) -> None:
    job = carrier.job(lambda job: job.state)
    Context().run(job.run)
    assert carrier.names == ["accept", "success"]
    assert carrier.calls[1] == ("success", State.RUNNING)
    assert carrier.ended == [job]
    assert job.state is State.ENDED


def test_what_a_target_raises_is_reported_once(carrier: Carrier) -> None:
    carrier.run(lambda job: 1 / 0)
    assert carrier.names == ["accept", "error"]
    assert isinstance(carrier.calls[1][1].exception.exc, ZeroDivisionError)


def test_a_request_revoked_while_it_waited_is_not_accepted(carrier: Carrier) -> None:
    class Request:
        def revoked(self) -> bool:
            return True

        def on_accepted(self, *_: Any) -> None:
            raise AssertionError("it was accepted")

    carrier.run(lambda job: 1, accept=Request().on_accepted)
    assert carrier.calls == []
    assert len(carrier.ended) == 1


def test_a_job_stopped_by_being_accepted_does_not_run(carrier: Carrier) -> None:
    job = carrier.job(lambda job: 1)
    job.accept = lambda *_: job.interrupt(Why.REVOKED)
    Context().run(job.run)
    assert carrier.calls == []


def test_a_time_limit_ends_the_body_and_calls_timeout(carrier: Carrier) -> None:
    carrier.run(body(lambda job: carrier.timers[1].ring()), soft_s=1, hard_s=2)
    assert carrier.calls[1:] == [("timeout", False, 2)]
    assert [timer.delay_s for timer in carrier.timers[:2]] == [1, 2]
    assert all(timer.is_cancelled for timer in carrier.timers)


def test_a_soft_limit_lets_the_body_go_on(carrier: Carrier) -> None:
    def work(job: Job) -> str:
        with pytest.raises(SoftTimeLimitExceeded):
            carrier.timers[0].ring()
        return "still here"

    carrier.run(body(work), soft_s=1, hard_s=2)
    assert carrier.calls[1:] == [("timeout", True, 1), ("success", "still here")]


def test_after_the_soft_limit_the_time_limit_still_comes(carrier: Carrier) -> None:
    def work(job: Job) -> None:
        with pytest.raises(SoftTimeLimitExceeded):
            carrier.timers[0].ring()
        carrier.timers[1].ring()

    carrier.run(body(work), soft_s=1, hard_s=2)
    assert carrier.calls[-1] == ("timeout", False, 2)


def test_a_limit_outside_the_body_waits_for_it(carrier: Carrier) -> None:
    def target(job: Job) -> None:
        job.interrupt(Why.HARD)  # while the platform claims
        job.call(raise_here, lambda: pytest.fail("the body began"))

    carrier.run(target, hard_s=2)
    assert carrier.names == ["accept", "timeout"]


def test_a_limit_after_the_body_changes_nothing(carrier: Carrier) -> None:
    def target(job: Job) -> str:
        value = job.call(raise_here, lambda: "done")
        job.interrupt(Why.HARD)  # while the platform reports
        return value

    carrier.run(target, hard_s=2)
    assert carrier.names == ["accept", "success"]


def test_a_shielded_call_is_not_interrupted_but_what_follows_is(carrier: Carrier) -> None:
    seen = []

    def work(job: Job) -> None:
        job.call_shielded(lambda: seen.append(job.interrupt(Why.REVOKED)))
        seen.append("went on")

    carrier.run(body(work))
    assert seen == [None]
    assert carrier.names == ["accept"]


@pytest.mark.parametrize(("first", "second"), [(Why.HARD, Why.REVOKED), (Why.REVOKED, Why.SHUTDOWN)])
def test_only_the_first_final_interrupt_counts(carrier: Carrier, first: Why, second: Why) -> None:
    def work(job: Job) -> None:
        with pytest.raises(Interrupted):
            job.interrupt(first)
        job.interrupt(second)

    job = carrier.job(body(work))
    Context().run(job.run)
    assert job.why is first


def test_the_time_limit_still_ends_a_job_that_ignored_its_cancellation(carrier: Carrier) -> None:
    def work(job: Job) -> None:
        with pytest.raises(RevokedStop):
            job.interrupt(Why.REVOKED)
        with pytest.raises(HardStop):
            job.interrupt(Why.HARD)

    job = carrier.job(body(work), hard_s=9)
    Context().run(job.run)
    assert job.why is Why.HARD
    assert carrier.names == ["accept", "success"]  # it returned a value all the same


def test_a_body_that_ignores_its_time_limit_is_given_up(carrier: Carrier) -> None:
    def work(job: Job) -> None:
        with pytest.raises(HardStop):
            job.interrupt(Why.HARD)
        for _ in range(INSIST_TIMES - 1):
            with pytest.raises(HardStop):
                carrier.timers[-1].ring()
        carrier.timers[-1].ring()
        assert carrier.ended == [job]

    job = carrier.job(body(work), hard_s=2)
    Context().run(job.run)
    assert job.abandoned
    assert carrier.calls[1:] == [("timeout", False, 2), ("given up",)]


def test_a_body_that_ignores_its_cancellation_keeps_its_slot_until_its_time_limit(carrier: Carrier) -> None:
    def work(job: Job) -> None:
        with pytest.raises(RevokedStop):
            job.interrupt(Why.REVOKED)
        for _ in range(INSIST_TIMES - 1):
            with pytest.raises(RevokedStop):
                carrier.timers[-1].ring()
        carrier.timers[-1].ring()
        assert job.state is State.RUNNING
        assert carrier.ended == []

    job = carrier.run(body(work), hard_s=2)
    assert not job.abandoned
    assert carrier.names == ["accept", "success"]


def test_a_callback_that_fails_costs_no_slot(carrier: Carrier, caplog: pytest.LogCaptureFixture) -> None:
    def fail(*_: Any) -> None:
        raise OSError("the broker is away")

    carrier.run(lambda job: 1, success=fail)
    assert len(carrier.ended) == 1
    assert "could not settle job-7" in caplog.text
