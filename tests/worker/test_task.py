import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from contextvars import Context
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from billiard.exceptions import WorkerLostError
from celery import Celery, current_app, current_task, signals
from celery.contrib.testing.mocks import TaskMessage
from celery.exceptions import SoftTimeLimitExceeded
from celery.worker import control
from celery.worker import state as worker_state

import poolwise.transport.remote_control  # noqa: F401 - registers the remote commands
from poolwise.lifecycle import execution, messages, stream
from poolwise.lifecycle.stream import Ending, Outcome, Place
from poolwise.pools import base, prefork
from poolwise.pools.request import PoolRequest
from poolwise.support.timing import Timings, wall_now
from poolwise.worker import attempt, report_thread
from poolwise.worker import request as task_request
from poolwise.worker.attempt_table import NO_LIMIT, AttemptTable
from poolwise.worker.request import JobRequest
from poolwise.worker.task import run
from tests.helpers import attempts
from tests.helpers.core import after, reports
from tests.helpers.pace import eventually, limit_s


@pytest.fixture
def posted(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Outcome, float]]:
    """What the worker's main process reports, and how much later."""
    posted: list[tuple[Outcome, float]] = []
    monkeypatch.setattr(task_request, "post", lambda outcome, after_s=0.0: posted.append((outcome, after_s)))
    return posted


class Consumer:
    """What a request needs of the worker's consumer; its answers from Redis come in a thread of their own."""

    hostname, app, connection_errors, controller = "w1@h", current_app, (), None
    event_dispatcher = SimpleNamespace(enabled=False, groups=(), send=lambda *a, **k: None)

    def __init__(self, pool: Any = None) -> None:
        self.pool, self.conversation = pool, attempts.conversation()
        self.settled: list[str] = []

    def settlers(self, message: Any) -> Any:
        return lambda *_: self.settled.append("ack"), lambda *_: self.settled.append("reject")


hooks: dict[str, Callable[[], object]] = {}


def hooked() -> None:
    hooks["body"]()


def own_task_id() -> Any:
    return current_task.request.id


def delivery(definition: str = "endings.succeed", **fields: Any) -> execution.Delivery:
    return execution.Delivery(
        str(uuid4()), fields.pop("attempt", 1), definition, {}, "threads", "w1@h", **fields
    )


def request_of(consumer: Consumer | None = None, **fields: Any) -> JobRequest:
    message = TaskMessage("poolwise.run", id=str(uuid4()), args=("endings.succeed", "{}"))
    return JobRequest(message, delivery(**fields), [None, None], consumer or Consumer())


# --- the task -------------------------------------------------------------------------------------------
def test_the_task_runs_nothing_and_says_what_to_do() -> None:
    with pytest.raises(RuntimeError, match=r"by poolwise\.submit"):
        run("io.wait", "{}")


# --- a job in its slot ----------------------------------------------------------------------------------
def test_a_job_sees_its_own_task_and_celerys_signals_tell_of_it(define: Any) -> None:
    seen: list[Any] = []

    def note(name: str) -> Any:
        return lambda sender=None, **of: seen.append((name, getattr(sender, "name", ""), of.get("task_id")))

    listeners = {name: note(name) for name in ("task_prerun", "task_success", "task_failure", "task_postrun")}
    for name, listener in listeners.items():
        getattr(signals, name).connect(listener)
    try:
        define(own_task_id, name="t.who")
        asks = execution.Delivery(str(uuid4()), 1, "t.who", {}, "threads", "w1@h")
        outcome, stop = attempt.run(asks)
        assert (outcome.result, stop) == (json.dumps(asks.job_id), None)
        fails = execution.Delivery(str(uuid4()), 1, "endings.raise_error", {}, "threads", "w1@h")
        assert attempt.run(fails)[0].ending is Ending.FAILED
    finally:
        for name, listener in listeners.items():
            getattr(signals, name).disconnect(listener)
    of = ("poolwise.run", asks.job_id), ("poolwise.run", fails.job_id)
    assert seen == [
        ("task_prerun", *of[0]), ("task_success", "poolwise.run", None), ("task_postrun", *of[0]),
        ("task_prerun", *of[1]), ("task_failure", *of[1]), ("task_postrun", *of[1]),
    ]  # fmt: skip
    assert current_task._get_current_object() is None


class PoolHere:
    """A pool that runs jobs in this thread, with a table of what runs."""

    active, launched, stalls, options = 1, 1, None, dict[str, Any]()

    def __init__(self) -> None:
        self.table, _ = AttemptTable.create()
        self.is_launched = threading.Event()

    def apply_async(self, target: Any, **options: Any) -> PoolRequest:
        kept = {"accept": options["accept_callback"], "success": options["callback"]}
        self.job = PoolRequest(self, 1, target, **kept, admit=options["admit"], unbegun=options["unbegun"])  # type: ignore[arg-type]
        self.job.hard_s = 50.0
        return self.job

    def launch(self, job: PoolRequest) -> None:
        self.is_launched.set()

    def run_sync(self, job: PoolRequest, call: Callable[[], Any]) -> Any:
        return call()

    def call_later(self, *_: Any) -> Any:
        return SimpleNamespace(cancel=lambda: None)

    def on_loop(self) -> bool:
        return False

    def finished(self, job: PoolRequest) -> None:
        pass

    def cpu_s(self, job: PoolRequest) -> float:
        return 0.0

    def greenlet_or_task(self, job: PoolRequest) -> str:
        return job.name


def test_a_watchdog_sees_an_attempt_from_its_claim_to_its_report_and_a_deadline_only_in_its_body(
    own_keys: Any, define: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = PoolHere()
    monkeypatch.setattr(base, "_running", [pool])
    seen: dict[str, list[bool]] = {}
    exchange = stream.exchange

    def note(name: str) -> None:
        seen[name] = [attempt.deadline_mono < NO_LIMIT for attempt in pool.table.attempts()]

    def noting(client: Any, claims: Any, outcomes: Any) -> Any:
        answers = exchange(client, claims, outcomes)
        note("claim" if claims else "report")  # after it: the answer may never arrive
        return answers

    monkeypatch.setattr(stream, "exchange", noting)
    hooks["body"] = lambda: note("body")
    define(hooked, name="t.hooked")
    consumer = Consumer(pool)
    request = request_of(consumer, definition="t.hooked")
    request.execute_using_pool(pool)
    pool.job.admit(pool.job)  # type: ignore[misc]
    assert pool.is_launched.wait(limit_s(10))
    assert consumer.settled == []
    Context().run(pool.job.run)
    eventually(lambda: consumer.settled == ["ack"], limit_s(10))
    assert seen == {"claim": [False], "body": [True], "report": [False]}
    assert pool.table.attempts() == []


def test_a_message_whose_claim_is_refused_is_acknowledged_and_its_slot_freed(own_keys: Any) -> None:
    stream.begin_no_more(own_keys, (other := request_of()).id, 1)
    pool = PoolHere()
    freed: list[int] = []
    pool.finished = lambda job: freed.append(job.number)  # type: ignore[method-assign]
    consumer = Consumer(pool)
    request = JobRequest(other._message, other.delivery, None, consumer)
    request._claim(PoolRequest(pool, 7, lambda: None))  # type: ignore[arg-type]
    eventually(lambda: consumer.settled == ["ack"], limit_s(10))
    assert freed == [7]
    assert pool.table.attempts() == []
    assert [entry.ending for entry in reports(own_keys)] == [Ending.CANCELLED]  # type: ignore[union-attr]


def test_a_job_that_is_claimed_as_its_worker_ends_is_released_and_not_acknowledged(
    own_keys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = PoolHere()
    consumer = Consumer(pool)
    monkeypatch.setattr(consumer.conversation, "is_closing", True)
    request = request_of(consumer)
    request._claim(PoolRequest(pool, 7, lambda: None))  # type: ignore[arg-type]
    eventually(lambda: len(reports(own_keys)) == 2, limit_s(10))
    assert reports(own_keys)[-1].ending is Ending.RELEASED  # type: ignore[union-attr]
    assert consumer.settled == []
    assert not pool.is_launched.is_set()


# --- what the main process reports ----------------------------------------------------------------------
def test_a_received_message_knows_when_by_both_clocks() -> None:
    verified = messages.Verified(str(uuid4()), 2, "io.wait", '{"a": 1}', 1.0, "r", [])
    received = execution.Delivery.of(verified, pool="threads", worker="w1@h")
    assert (received.attempt, received.params, received.published_at, received.request_id) == (
        2,
        {"a": 1},
        1.0,
        "r",
    )
    assert abs(received.received_at - wall_now()) < 5
    assert abs(received.received_mono - time.monotonic()) < 5


def test_a_hard_limit_is_reported_with_every_time_known(posted: Any, monkeypatch: Any) -> None:
    request = request_of(attempt=2, published_at=wall_now() - 2, received_at=wall_now())
    request.time_start = wall_now() - 1
    monkeypatch.setattr(task_request._Request, "on_timeout", lambda *args: None)
    request.on_timeout(soft=True, timeout=1)
    assert posted == []
    request.on_timeout(soft=False, timeout=1)
    [(outcome, after_s)] = posted
    assert (outcome.ending, outcome.error_type, outcome.attempt) == (Ending.FAILED, "TimeLimitExceeded", 2)
    assert after_s > 0, "the job's own report comes first"
    assert 0.9 < outcome.timings.run_s < limit_s(5)
    assert outcome.timings.broker_wait_s > 1.5
    assert outcome.place.worker == "w1@h"


def test_a_limit_during_a_shutdown_is_not_one(posted: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(task_request._Request, "on_timeout", lambda *args: None)
    monkeypatch.setattr(task_request.worker_state, "should_terminate", True)
    request_of().on_timeout(soft=False, timeout=1)
    assert posted == []


@pytest.mark.parametrize("error", [WorkerLostError("signal 9"), SystemExit(3)])
def test_a_child_that_ended_under_its_job_is_reported_as_lost(
    posted: Any, monkeypatch: Any, error: Any
) -> None:
    monkeypatch.setattr(task_request._Request, "on_failure", lambda *args: None)
    request_of().on_failure(SimpleNamespace(exception=error))
    [(outcome, _)] = posted
    assert (outcome.ending, outcome.error_type) == (Ending.LOST, "WorkerLost")
    assert str(error) in outcome.error


def test_a_child_that_was_stopped_is_not_reported_as_lost(posted: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(task_request._Request, "on_failure", lambda *args: None)
    revoked = request_of()
    revoked._already_revoked = True
    revoked.on_failure(SimpleNamespace(exception=WorkerLostError("x")))
    assert posted == []


def test_a_limit_that_comes_between_the_body_and_its_report_is_reported(
    posted: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr(task_request._Request, "on_failure", lambda *args: None)
    request_of().on_failure(SimpleNamespace(exception=SoftTimeLimitExceeded()))
    [(outcome, _)] = posted
    assert (outcome.ending, outcome.error_type) == (Ending.FAILED, "SoftTimeLimitExceeded")


# --- the poster -----------------------------------------------------------------------------------------
def outcome(number: int) -> Outcome:
    return Outcome(str(uuid4()), number, Place("w"), Timings(), Ending.LOST)


def test_reports_are_sent_in_order_by_another_thread_and_flushed(own_keys: Any) -> None:
    poster = report_thread._Poster()
    for number in range(20):
        poster.post(outcome(number), 0.0)
    poster.flush(5)
    assert [entry.attempt for entry in reports(own_keys)] == list(range(20))


def test_a_report_for_later_waits_unless_the_worker_ends(own_keys: Any) -> None:
    poster = report_thread._Poster()
    poster.post(outcome(1), 0.3)
    time.sleep(0.1)
    assert reports(own_keys) == []
    poster.flush(5)
    assert len(reports(own_keys)) == 1


def test_posting_never_waits_for_redis_and_the_report_arrives(own_redis: Any) -> None:
    poster = report_thread._Poster()
    began = time.monotonic()
    poster.post(outcome(1), 0.0)
    assert time.monotonic() - began < limit_s(0.1)
    after(0.2, own_redis.start)
    poster.flush(5)
    assert len(reports(own_redis.client())) == 1


def test_a_flush_ends_though_redis_stays_away(own_redis: Any) -> None:
    poster = report_thread._Poster()
    poster.post(outcome(1), 0.0)
    began = time.monotonic()
    poster.flush(0.2)
    assert time.monotonic() - began < limit_s(1)
    own_redis.start()  # so that the thread ends its work
    poster.flush(5)
    assert os.getpid() == poster._running_in_pid


# --- remote control -------------------------------------------------------------------------------------
class Terminated:
    def __init__(self) -> None:
        self.id, self.signals = str(uuid4()), list[int]()

    def terminate(self, pool: Any, signal: int) -> None:
        self.signals.append(signal)


def test_a_revoked_job_is_stopped_and_no_result_is_read_or_written(monkeypatch: pytest.MonkeyPatch) -> None:
    request = Terminated()
    monkeypatch.setattr(control, "_find_requests_by_id", lambda ids: [request] if request.id in ids else [])
    monkeypatch.setattr(Celery, "backend", property(lambda app: pytest.fail("asked")))
    state = SimpleNamespace(consumer=SimpleNamespace(pool=None), app=current_app)
    revoke = control.Panel.data["revoke"]
    assert "flagged" in revoke(state, task_id="other")["ok"]
    assert request.signals == []
    assert request.id in revoke(state, task_id=request.id, terminate=True, signal="SIGHUP")["ok"]
    assert "unknown" in revoke(state, task_id=["gone"], terminate=True)["ok"]
    assert request.signals == [signal.SIGHUP]
    assert {"other", request.id, "gone"} <= set(worker_state.revoked)


def test_where_no_child_is_known_nothing_is_ended() -> None:
    """psutil takes no process id for the id of its own process: the worker would kill its children, and itself."""
    with subprocess.Popen(["sleep", "60"]) as child:
        prefork.end_programs_of(None, after_s=0.0)
        prefork.kill_if_unresponsive(None, after_s=0.0)
        time.sleep(0.3)
        assert child.poll() is None
        child.kill()
