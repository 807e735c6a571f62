"""The state machine of a job, without a worker."""

from collections.abc import Callable
from contextvars import Context
from typing import Any

import pytest
from celery.exceptions import SoftTimeLimitExceeded

from poolwise.pools.interrupts import HardStop, Interrupted, RevokedStop, Why
from poolwise.pools.request import INSIST_TIMES, PoolRequest, RequestState


class Timer:
    def __init__(self, delay_s: float, ring: Callable[[], None]) -> None:
        self.delay_s, self.ring, self.is_cancelled = delay_s, ring, False

    def cancel(self) -> None:
        self.is_cancelled = True


class FakePool:
    """A pool that runs jobs here and whose time stands still."""

    def __init__(self) -> None:
        self.timers: list[Timer] = []
        self.ended: list[PoolRequest] = []
        self.calls: list[tuple[Any, ...]] = []

    def reach_out(self, job: PoolRequest) -> None:
        job.deliver()

    def call_later(self, delay_s: float, call: Callable[[], None]) -> Timer:
        self.timers.append(Timer(delay_s, call))
        return self.timers[-1]

    def detach(self, call: Callable[[], None]) -> None:
        call()

    def finished(self, job: PoolRequest) -> None:
        self.ended.append(job)

    def given_up(self, job: PoolRequest) -> None:
        self.calls.append(("given up",))

    def job(self, target: Callable[[PoolRequest], Any], **options: Any) -> PoolRequest:
        def record(name: str) -> Callable[..., None]:
            return lambda *args: self.calls.append((name, *args))

        callbacks: dict[str, Any] = {name: record(name) for name in ("accept", "success", "error", "timeout")}
        job = PoolRequest(self, 7, lambda: target(job), **{**callbacks, **options})
        return job

    def run(self, target: Callable[[PoolRequest], Any], **options: Any) -> PoolRequest:
        job = self.job(target, **options)
        Context().run(job.run)  # a job sets variables of its context
        return job

    @property
    def names(self) -> list[str]:
        return [call[0] for call in self.calls]


@pytest.fixture
def pool() -> FakePool:
    return FakePool()


def raise_here(why: Why) -> None:
    """Interrupt a body that runs in the calling thread, as a pool does."""
    raise {Why.HARD: HardStop, Why.REVOKED: RevokedStop, Why.SOFT: SoftTimeLimitExceeded}[why]()


def body(work: Callable[[PoolRequest], Any]) -> Callable[[PoolRequest], Any]:
    return lambda job: job.call(raise_here, lambda: work(job))


def test_a_job_is_accepted_then_succeeds_then_frees_its_slot(pool: FakePool) -> None:
    job = pool.job(lambda job: job.state)
    Context().run(job.run)
    assert pool.names == ["accept", "success"]
    assert pool.calls[1] == ("success", RequestState.RUNNING)
    assert pool.ended == [job]
    assert job.state is RequestState.ENDED


def test_an_error_of_the_target_is_reported_once(pool: FakePool) -> None:
    pool.run(lambda job: 1 / 0)
    assert pool.names == ["accept", "error"]
    assert isinstance(pool.calls[1][1].exception.exc, ZeroDivisionError)


def test_a_request_revoked_while_it_waited_is_not_accepted(pool: FakePool) -> None:
    class Request:
        def revoked(self) -> bool:
            return True

        def on_accepted(self, *_: Any) -> None:
            raise AssertionError("it was accepted")

    pool.run(lambda job: 1, accept=Request().on_accepted)
    assert pool.calls == []
    assert len(pool.ended) == 1


def test_a_job_stopped_by_being_accepted_does_not_run(pool: FakePool) -> None:
    job = pool.job(lambda job: 1)
    job.accept = lambda *_: job.interrupt(Why.REVOKED)
    Context().run(job.run)
    assert pool.calls == []


def test_a_time_limit_ends_the_body_and_calls_timeout(pool: FakePool) -> None:
    pool.run(body(lambda job: pool.timers[1].ring()), soft_s=1, hard_s=2)
    assert pool.calls[1:] == [("timeout", False, 2)]
    assert [timer.delay_s for timer in pool.timers[:2]] == [1, 2]
    assert all(timer.is_cancelled for timer in pool.timers)


def test_a_soft_limit_lets_the_body_go_on(pool: FakePool) -> None:
    def work(job: PoolRequest) -> str:
        with pytest.raises(SoftTimeLimitExceeded):
            pool.timers[0].ring()
        return "still here"

    pool.run(body(work), soft_s=1, hard_s=2)
    assert pool.calls[1:] == [("timeout", True, 1), ("success", "still here")]


def test_after_the_soft_limit_the_time_limit_still_comes(pool: FakePool) -> None:
    def work(job: PoolRequest) -> None:
        with pytest.raises(SoftTimeLimitExceeded):
            pool.timers[0].ring()
        pool.timers[1].ring()

    pool.run(body(work), soft_s=1, hard_s=2)
    assert pool.calls[-1] == ("timeout", False, 2)


def test_a_limit_outside_the_body_waits_for_it(pool: FakePool) -> None:
    def target(job: PoolRequest) -> None:
        job.interrupt(Why.HARD)  # while the platform claims
        job.call(raise_here, lambda: pytest.fail("the body began"))

    pool.run(target, hard_s=2)
    assert pool.names == ["accept", "timeout"]


def test_a_limit_after_the_body_changes_nothing(pool: FakePool) -> None:
    def target(job: PoolRequest) -> str:
        value = job.call(raise_here, lambda: "done")
        job.interrupt(Why.HARD)  # while the platform reports
        return value

    pool.run(target, hard_s=2)
    assert pool.names == ["accept", "success"]


def test_a_shielded_call_is_not_interrupted_but_what_follows_is(pool: FakePool) -> None:
    seen = []

    def work(job: PoolRequest) -> None:
        job.call_shielded(lambda: seen.append(job.interrupt(Why.REVOKED)))
        seen.append("went on")

    pool.run(body(work))
    assert seen == [None]
    assert pool.names == ["accept"]


@pytest.mark.parametrize(("first", "second"), [(Why.HARD, Why.REVOKED), (Why.REVOKED, Why.SHUTDOWN)])
def test_only_the_first_final_interrupt_counts(pool: FakePool, first: Why, second: Why) -> None:
    def work(job: PoolRequest) -> None:
        with pytest.raises(Interrupted):
            job.interrupt(first)
        job.interrupt(second)

    job = pool.job(body(work))
    Context().run(job.run)
    assert job.why is first


def test_the_time_limit_still_ends_a_job_that_ignored_its_cancellation(pool: FakePool) -> None:
    def work(job: PoolRequest) -> None:
        with pytest.raises(RevokedStop):
            job.interrupt(Why.REVOKED)
        with pytest.raises(HardStop):
            job.interrupt(Why.HARD)

    job = pool.job(body(work), hard_s=9)
    Context().run(job.run)
    assert job.why is Why.HARD
    assert pool.names == ["accept", "success"]  # it returned a value all the same


def test_a_body_that_ignores_its_time_limit_is_given_up(pool: FakePool) -> None:
    def work(job: PoolRequest) -> None:
        with pytest.raises(HardStop):
            job.interrupt(Why.HARD)
        for _ in range(INSIST_TIMES - 1):
            with pytest.raises(HardStop):
                pool.timers[-1].ring()
        pool.timers[-1].ring()
        assert pool.ended == [job]

    job = pool.job(body(work), hard_s=2)
    Context().run(job.run)
    assert job.abandoned
    assert pool.calls[1:] == [("timeout", False, 2), ("given up",)]


def test_a_body_that_ignores_its_cancellation_keeps_its_slot_until_its_time_limit(pool: FakePool) -> None:
    def work(job: PoolRequest) -> None:
        with pytest.raises(RevokedStop):
            job.interrupt(Why.REVOKED)
        for _ in range(INSIST_TIMES - 1):
            with pytest.raises(RevokedStop):
                pool.timers[-1].ring()
        pool.timers[-1].ring()
        assert job.state is RequestState.RUNNING
        assert pool.ended == []

    job = pool.run(body(work), hard_s=2)
    assert not job.abandoned
    assert pool.names == ["accept", "success"]


def test_a_callback_that_fails_costs_no_slot(pool: FakePool, caplog: pytest.LogCaptureFixture) -> None:
    def fail(*_: Any) -> None:
        raise OSError("the broker is away")

    pool.run(lambda job: 1, success=fail)
    assert len(pool.ended) == 1
    assert "could not settle job-7" in caplog.text
