import json
import os
import signal
import subprocess
import time
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from billiard.exceptions import WorkerLostError
from celery import Celery, current_app
from celery.contrib.testing.mocks import TaskMessage
from celery.worker import control
from celery.worker import state as worker_state

import poolwise.transport.remote_control  # noqa: F401 - registers the remote commands
from poolwise.lifecycle import execution
from poolwise.lifecycle.stream import Ending, Outcome, Place
from poolwise.pools import prefork
from poolwise.support.timing import Timings, wall_now
from poolwise.worker import report_thread
from poolwise.worker import request as task_request
from poolwise.worker.request import JobRequest
from poolwise.worker.task import JobFailed, run
from tests.helpers.core import after, reports
from tests.helpers.pace import limit_s


@pytest.fixture
def posted(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Outcome, float]]:
    """What the worker's main process reports, and how much later."""
    posted: list[tuple[Outcome, float]] = []
    monkeypatch.setattr(task_request, "post", lambda outcome, after_s=0.0: posted.append((outcome, after_s)))
    return posted


def request_of(headers: Any = None) -> JobRequest:
    message = TaskMessage("poolwise.run", id=str(uuid4()), args=("io.wait", {}))
    message.headers.update(headers or {})
    request = JobRequest(
        message, app=current_app, hostname="w1@h", task=run, on_ack=lambda *a: None, on_reject=lambda *a: None,
        eventer=SimpleNamespace(enabled=False, send=lambda *a, **k: None), connection_errors=(),
    )  # fmt: skip
    return request


def call(headers: Any = None, definition: str = "endings.succeed", params: Any = None, **request: Any) -> Any:
    run.push_request(id=str(uuid4()), hostname="w1@h", poolwise=headers, **request)
    try:
        return run.run(definition, json.dumps(params or {}))
    finally:
        run.pop_request()


# --- the task -------------------------------------------------------------------------------------------
def test_the_message_is_handed_to_execution_as_it_came(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[execution.Delivery] = []
    monkeypatch.setattr(execution, "execute", seen.append)
    monkeypatch.setenv("POOLWISE_POOL", "threads")
    call({"attempt": 3, "published_at": 1.0, "request_id": "r"}, "d", {"a": 1}, received=(2.0, 7.0))
    [got] = seen
    assert (got.attempt, got.definition, got.params, got.pool, got.worker) == (
        3,
        "d",
        {"a": 1},
        "threads",
        "w1@h",
    )
    assert (got.published_at, got.received_at, got.received_mono, got.request_id) == (1.0, 2.0, 7.0, "r")


def test_a_message_without_our_header_is_a_first_attempt(own_keys: Any) -> None:
    call()
    assert [entry.attempt for entry in reports(own_keys)] == [1, 1]


def test_a_failed_job_fails_its_celery_task_too_after_its_report(own_keys: Any) -> None:
    with pytest.raises(JobFailed, match="RuntimeError: raised on purpose"):
        call({"attempt": 2}, "endings.raise_error")
    assert reports(own_keys)[-1].ending is Ending.FAILED


def test_a_message_that_is_not_ours_to_run_is_no_failure(
    own_keys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execution, "execute", lambda delivery: None)
    assert call() is None


# --- what the main process reports ----------------------------------------------------------------------
def test_a_received_message_knows_when_by_both_clocks() -> None:
    wall, mono = request_of()._request_dict["received"]
    assert abs(wall - wall_now()) < 5
    assert abs(mono - time.monotonic()) < 5


def test_a_hard_limit_is_reported_with_every_time_known(posted: Any, monkeypatch: Any) -> None:
    request = request_of({"poolwise": {"attempt": 2, "published_at": wall_now() - 2}})
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


def test_a_failure_that_the_job_has_reported_itself_is_not_reported_twice(
    posted: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr(task_request._Request, "on_failure", lambda *args: None)
    request_of().on_failure(SimpleNamespace(exception=JobFailed("x")))
    revoked = request_of()
    revoked._already_revoked = True
    revoked.on_failure(SimpleNamespace(exception=WorkerLostError("x")))
    assert posted == []


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
