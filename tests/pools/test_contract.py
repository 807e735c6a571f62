"""The contract of all pools, tested with real workers."""

import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from uuid import uuid4

import pytest
from celery.exceptions import SoftTimeLimitExceeded, TimeLimitExceeded

from tests.helpers.pace import eventually, limit_s, within
from tests.pools import celeryapp as tasks
from tests.pools.conftest import Notes, Worker

pytestmark = pytest.mark.services


def test_a_result_comes_back(worker: Worker) -> None:
    assert worker.run(tasks.add, 2, 3) == 5


@pytest.mark.parametrize("task", [tasks.meet, tasks.meet_async])
def test_jobs_wait_side_by_side(worker: Worker, task: Any) -> None:
    place, within_s = uuid4().hex, limit_s(10)
    results = [worker.send(task, place, 4, within_s) for _ in range(4)]
    assert [result.get(timeout=2 * within_s) for result in results] == [True] * 4


@pytest.mark.parametrize("task", [tasks.identity, tasks.identity_async])
def test_each_part_of_a_job_sees_its_own_request(worker: Worker, task: Any) -> None:
    results = [worker.send(task) for _ in range(8)]
    assert [set(result.get(timeout=10)) for result in results] == [{result.id} for result in results]


def test_a_coroutine_calls_synchronous_code_in_threads(worker: Worker) -> None:
    results = [worker.send(tasks.call_synchronous_code, own) for own in range(12)]
    assert [result.get(timeout=20) for result in results] == [[own] * 8 for own in range(12)]


def test_jobs_side_by_side_run_event_loops_of_their_own(worker: Worker) -> None:
    results = [worker.send(tasks.run_loops_of_its_own) for _ in range(8)]
    assert [result.get(timeout=20) for result in results] == [[1] * 5] * 8


def test_a_coroutine_starts_a_process_or_its_error_names_pools_that_can(worker: Worker) -> None:
    result = worker.send(tasks.start_a_process)
    if worker.pool == "gevent":
        with pytest.raises(NotImplementedError, match="run the job on asyncio, threads or prefork"):
            result.get(timeout=10)
    else:
        assert result.get(timeout=10) == "here"


def test_a_failure_keeps_its_type_text_and_traceback(worker: Worker) -> None:
    result = worker.send(tasks.fail, "so it is")
    with pytest.raises(ValueError, match="so it is"):
        result.get(timeout=10)
    assert "in fail" in result.traceback


@pytest.mark.parametrize("task", [tasks.flaky, tasks.flaky_async])
def test_a_job_is_retried(worker: Worker, task: Any) -> None:
    assert worker.run(task) == 2


@pytest.mark.parametrize(
    ("task", "args", "end"), [(tasks.add, (1, 2), "success"), (tasks.fail, ("no",), "failure")]
)
def test_each_signal_is_sent_once(
    worker: Worker, notes: Notes, task: Any, args: tuple[Any], end: str
) -> None:
    result = worker.send(task, *args, headers={"signals": True})
    result.get(timeout=10, propagate=False)
    notes.wait_for(result, "task_postrun")
    assert sorted(notes.of(result)) == sorted(["task_prerun", f"task_{end}", "task_postrun"])


@pytest.mark.parametrize("task", [tasks.catch_soft, tasks.catch_soft_async])
def test_a_soft_limit_reaches_a_waiting_body_in_time(worker: Worker, task: Any) -> None:
    assert 0.25 < worker.run(task, 5, soft_time_limit=worker.limit_s) < 2


def test_a_soft_limit_that_is_not_caught_fails_the_job(worker: Worker, notes: Notes) -> None:
    result = worker.send(tasks.wait, 5, soft_time_limit=worker.limit_s)
    with pytest.raises(SoftTimeLimitExceeded):
        result.get(timeout=10)


@pytest.mark.parametrize("task", [tasks.wait, tasks.wait_async])
def test_a_time_limit_ends_a_waiting_job_and_frees_its_slot(worker: Worker, notes: Notes, task: Any) -> None:
    start = time.monotonic()
    results = [worker.send(task, 30, time_limit=worker.limit_s) for _ in range(4)]
    for result in results:
        with pytest.raises(TimeLimitExceeded):
            result.get(timeout=10)
    assert worker.run(tasks.add, 1, 1) == 2
    assert time.monotonic() - start < limit_s(6)


def test_the_body_sees_its_time_limit_and_may_clean_up(our_worker: Worker, notes: Notes) -> None:
    blocking, coroutine = (
        our_worker.send(task, 30, time_limit=0.3) for task in (tasks.wait, tasks.wait_async)
    )
    notes.wait_for(blocking, "HardStop")
    notes.wait_for(coroutine, "CancelledError")


def test_the_soft_limit_comes_before_the_time_limit(worker: Worker) -> None:
    assert worker.run(tasks.catch_soft, 5, soft_time_limit=worker.limit_s, time_limit=3) < 2


@pytest.mark.parametrize("pool", ["prefork", "threads", "asyncio"])
def test_a_soft_limit_stops_a_computing_body_that_has_a_thread(workers: dict[str, Worker], pool: str) -> None:
    assert workers[pool].run(tasks.burn, 8, soft_time_limit=1) == "soft"


def test_a_limit_that_comes_too_late_changes_nothing(workers: dict[str, Worker]) -> None:
    assert workers["gevent"].run(tasks.burn, 0.6, soft_time_limit=0.2, time_limit=0.4) == "to the end"


def test_a_limit_waits_for_the_platforms_own_steps(our_worker: Worker) -> None:
    assert our_worker.run(tasks.shielded, soft_time_limit=0.2) == ["whole", "soft", "reported"]


def test_a_job_revoked_before_its_start_never_runs(worker: Worker, notes: Notes) -> None:
    running = [worker.send(tasks.wait, limit_s(2)) for _ in range(4)]  # until the revocation arrives
    for result in running:
        notes.wait_for(result, "began")
    waiting = [worker.send(tasks.wait, 0) for _ in range(2)]
    eventually(lambda: not notes.queued(worker))
    waiting[0].revoke()
    assert waiting[1].get(timeout=limit_s(10)) == "waited"
    assert waiting[0].state == "REVOKED"
    assert notes.of(waiting[0]) == []


@pytest.mark.parametrize("task", [tasks.wait, tasks.wait_async])
def test_a_running_job_can_be_revoked(worker: Worker, notes: Notes, task: Any) -> None:
    result = worker.send(task, 30)
    notes.wait_for(result, "began")
    result.revoke(terminate=True)
    eventually(lambda: result.state == "REVOKED", 5)
    if worker.pool != "prefork":
        notes.wait_for(result, "RevokedStop" if task is tasks.wait else "CancelledError", 3)
    assert worker.run(tasks.add, 1, 1) == 2


def test_a_computing_job_in_a_thread_can_be_revoked(workers: dict[str, Worker]) -> None:
    for pool in ("threads", "asyncio"):
        result = workers[pool].send(tasks.burn, 30)
        eventually(lambda pool=pool: info(workers[pool])["active"])
        result.revoke(terminate=True)
        eventually(lambda pool=pool: not info(workers[pool])["active"], 5)


def info(worker: Worker) -> dict[str, Any]:
    return tasks.app.control.inspect([worker.node]).stats()[worker.node]["pool"]


def test_a_job_that_ignores_its_end_loses_its_slot(workers: dict[str, Worker]) -> None:
    stubborn = [
        (workers[pool], task)
        for pool in ("threads", "gevent", "asyncio")
        for task in (tasks.stubborn, tasks.stubborn_async)
    ]
    results = [worker.send(task, 8, time_limit=0.2) for worker, task in stubborn]
    start = time.monotonic()
    for result in results:
        with pytest.raises(TimeLimitExceeded):
            result.get(timeout=10)
    assert time.monotonic() - start < limit_s(6)
    assert not any(info(worker)["active"] for worker, _ in stubborn)


def test_slots_can_be_added_and_taken_away(our_worker: Worker) -> None:
    control, node = tasks.app.control, [our_worker.node]
    control.pool_grow(2, destination=node, reply=True)
    results = [our_worker.send(tasks.wait, 1) for _ in range(6)]
    eventually(lambda: info(our_worker)["active"] == 6)
    control.pool_shrink(2, destination=node, reply=True)
    assert info(our_worker)["max-concurrency"] == 4
    assert [result.get(timeout=10) for result in results] == ["waited"] * 6
    assert "error" in control.pool_shrink(4, destination=node, reply=True)[0][our_worker.node]


@pytest.mark.parametrize("task", [tasks.short, tasks.short_early])
def test_a_freed_slot_is_filled_at_once(our_worker: Worker, task: Any) -> None:
    with within(2.2):  # ten rounds of 0.1 s
        for _ in range(40):
            our_worker.send(task)
        eventually(lambda: info(our_worker)["active"] == 0 and not Notes().queued(our_worker))


def test_waiting_for_a_result_inside_a_job_is_refused(worker: Worker) -> None:
    assert worker.run(tasks.get_inside, worker.queue) == ("waited" if worker.pool == "gevent" else "refused")


def test_a_job_may_send_another(worker: Worker) -> None:
    assert tasks.app.AsyncResult(worker.run(tasks.delay_inside, worker.queue)).get(timeout=10) == 23


def test_bodies_may_use_anyio_and_httpx(worker: Worker, tmp_path: Path) -> None:
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        handler.log_message = lambda *_: None
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/"
        assert worker.run(tasks.use_anyio, url) == ["cancelled True", "200", "200"]
        server.shutdown()


def test_tasks_that_a_coroutine_leaves_behind_are_cancelled(worker: Worker, notes: Notes) -> None:
    result = worker.send(tasks.leave_a_stray)
    result.get(timeout=10)
    assert notes.of(result) == ["stray cancelled"]
