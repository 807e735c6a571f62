"""Processes that jobs fork and start, on a worker of each pool."""

from collections.abc import Callable

import psutil
import pytest

from tests.helpers.pace import eventually
from tests.pools import celeryapp, forks
from tests.pools.conftest import ALL, Notes, Worker

pytestmark = [pytest.mark.services, pytest.mark.timeout(120)]


@pytest.mark.parametrize(("ending", "status"), [("returns", 0), ("fails", 1), ("exits", 4)])
def test_a_forked_process_ends_with_its_job_and_runs_no_other(
    worker: Worker, notes: Notes, ending: str, status: int
) -> None:
    forking = worker.send(forks.fork_and_return, ending)
    others = [worker.send(celeryapp.wait, 0.05) for _ in range(10)]
    assert forking.get(timeout=20) == [status]
    assert [other.get(timeout=20) for other in others] == ["waited"] * 10
    assert [notes.of(other) for other in others] == [["began", "ended"]] * 10


@pytest.mark.parametrize("pool", ["prefork", "threads", "asyncio"])
@pytest.mark.parametrize(("ending", "status"), [("returns", 0), ("fails", 1), ("awaits", 1)])
def test_a_process_forked_by_a_coroutine_ends_at_its_next_await(
    workers: dict[str, Worker], notes: Notes, pool: str, ending: str, status: int
) -> None:
    forking = workers[pool].send(forks.fork_and_return_async, ending)
    others = [workers[pool].send(celeryapp.wait_async, 0.05) for _ in range(4)]
    assert forking.get(timeout=20) == [status]
    assert [other.get(timeout=20) for other in others] == ["waited"] * 4
    assert (notes.of(forking), [notes.of(other) for other in others]) == ([], [["began", "ended"]] * 4)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing_works_in_jobs_beside_others(worker: Worker, method: str) -> None:
    using = worker.send(forks.use_processes, method)
    others = [worker.send(celeryapp.add, number, 1) for number in range(10)]
    doubles = [2 * number for number in range(20)]
    assert using.get(timeout=60) == [8, 0, 5, doubles, doubles[:5]]
    assert [other.get(timeout=20) for other in others] == list(range(1, 11))


def test_large_values_go_to_and_from_processes(worker: Worker) -> None:
    assert worker.run(forks.pass_large_values) == [1_000_000] * 6


def test_a_started_process_can_be_terminated(worker: Worker) -> None:
    assert worker.run(forks.terminate) == [-15]


def test_gevent_refuses_to_start_a_process_in_a_coroutine(workers: dict[str, Worker]) -> None:
    refusals = workers["gevent"].run(forks.start_in_coroutine)
    assert len(refusals) == 2
    assert all("start the process in a plain function" in refusal for refusal in refusals)


@pytest.mark.parametrize("pool", ["prefork", "threads", "asyncio"])
def test_a_coroutine_can_use_an_executor_of_processes(workers: dict[str, Worker], pool: str) -> None:
    assert workers[pool].run(forks.use_executor_in_coroutine) == [0, 2, 4, 6, 8]


@pytest.mark.slow
def test_a_process_of_a_job_has_no_connection_to_the_broker_and_ends_with_its_worker(
    start_workers: Callable[..., dict[str, Worker]],
) -> None:
    workers = start_workers("leaving", ALL, "-c", "1")
    assert [worker.run(forks.count_connections) for worker in workers.values()] == [0] * len(ALL)
    left = [psutil.Process(pid) for worker in workers.values() for pid in worker.run(forks.leave_processes)]
    for worker in workers.values():
        worker.process.terminate()
    assert [worker.wait() for worker in workers.values()] == [0] * len(ALL)
    eventually(lambda: not any(process.is_running() for process in left))
