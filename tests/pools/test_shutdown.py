"""Shutdown of workers: running jobs, waiting jobs and reserved messages."""

import signal
from collections.abc import Callable
from typing import Any

import pytest

from tests.pools import celeryapp as tasks
from tests.pools.conftest import ALL, OURS, Notes, Worker

pytestmark = pytest.mark.services
Start = Callable[..., dict[str, Worker]]


def begin(worker: Worker, notes: Notes, task: Any, *seconds: float) -> list[Any]:
    """Send jobs of these durations; return them once they have begun."""
    sent = [worker.send(task, length) for length in seconds]
    for result in sent:
        notes.wait_for(result, "began")
    return sent


@pytest.fixture(scope="module")
def warm(start_workers: Start, notes: Notes) -> dict[str, Any]:
    """Two jobs run and three wait when SIGTERM comes, in each pool."""
    workers = start_workers("warm", ALL, "-c", "2")
    running = {pool: begin(worker, notes, tasks.wait, 1.5, 1.5) for pool, worker in workers.items()}
    waiting = {pool: [worker.send(tasks.wait, 1) for _ in range(3)] for pool, worker in workers.items()}
    for worker in workers.values():
        worker.process.send_signal(signal.SIGTERM)
    return {pool: (worker, worker.wait(), running[pool], waiting[pool]) for pool, worker in workers.items()}


@pytest.mark.parametrize("pool", ALL)
def test_a_warm_shutdown_lets_running_jobs_end(warm: dict[str, Any], notes: Notes, pool: str) -> None:
    _, status, running, _ = warm[pool]
    assert status == 0
    assert [notes.of(result) for result in running] == [["began", "ended"]] * 2
    assert [result.state for result in running] == ["SUCCESS"] * 2
    assert not {result.id for result in running} & notes.unacknowledged()


@pytest.mark.parametrize("pool", ALL)
def test_a_warm_shutdown_gives_back_what_has_not_begun(warm: dict[str, Any], notes: Notes, pool: str) -> None:
    worker, _, _, waiting = warm[pool]
    assert notes.queued(worker) == {result.id for result in waiting}
    assert [notes.of(result) for result in waiting] == [[]] * 3


@pytest.fixture(scope="module")
def cold(start_workers: Start, notes: Notes) -> dict[str, Any]:
    """One short and two long jobs run when SIGQUIT comes to workers that then wait for 1.2 s."""
    workers = start_workers("cold", ALL, "-c", "3", POOLS_TEST_SOFT_SHUTDOWN_S="1.2")
    jobs = {
        pool: begin(worker, notes, tasks.wait_async, 30) + begin(worker, notes, tasks.wait, 30, 0.6)
        for pool, worker in workers.items()
    }
    for worker in workers.values():
        worker.process.send_signal(signal.SIGQUIT)
    return {pool: (worker, worker.wait(), jobs[pool]) for pool, worker in workers.items()}


@pytest.mark.parametrize("pool", ALL)
def test_a_cold_shutdown_puts_back_jobs_that_exceed_its_grace(
    cold: dict[str, Any], notes: Notes, pool: str
) -> None:
    worker, _, (coroutine, blocking, short) = cold[pool]
    assert notes.of(short) == ["began", "ended"]
    assert notes.queued(worker) == {coroutine.id, blocking.id}


@pytest.mark.parametrize("pool", OURS)
def test_bodies_see_a_cold_shutdown(cold: dict[str, Any], notes: Notes, pool: str) -> None:
    _, _, (coroutine, blocking, _) = cold[pool]
    assert notes.of(coroutine) == ["began", "CancelledError"]
    assert notes.of(blocking) == ["began", "ShutdownStop"]


def test_a_worker_whose_loop_ended_ends(start_workers: Start) -> None:
    worker = start_workers("loopless", ("asyncio",), "-c", "2")["asyncio"]
    worker.send(tasks.end_the_loop)
    assert worker.wait() != 0
    assert "The event loop of the asyncio pool ended" in worker.log.read_text()


@pytest.mark.parametrize("pool", OURS)
def test_autoscale_adds_slots(autoscaled: dict[str, Any], pool: str) -> None:
    assert autoscaled[pool] == 4


@pytest.fixture(scope="module")
def autoscaled(start_workers: Start, notes: Notes) -> dict[str, int]:
    """How many of four jobs run side by side in workers that start with one slot."""
    workers = start_workers("scaled", OURS, "--autoscale", "4,1", POOLS_TEST_PREFETCH="4")
    jobs = {pool: [worker.send(tasks.wait, 4) for _ in range(4)] for pool, worker in workers.items()}
    for results in jobs.values():
        for result in results:
            notes.wait_for(result, "began")
    ended = {pool: ["ended" in notes.of(result) for result in results] for pool, results in jobs.items()}
    for worker in workers.values():
        worker.process.send_signal(signal.SIGQUIT)
    for worker in workers.values():
        worker.wait()
    return {pool: marks.count(False) for pool, marks in ended.items()}
