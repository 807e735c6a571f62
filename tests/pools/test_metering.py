"""Each job is charged its own CPU time, whatever runs beside it."""

from typing import Any

import pytest

from tests.pools import celeryapp as tasks
from tests.pools.conftest import Worker

pytestmark = pytest.mark.services


PAIRS = [
    (tasks.measure_burn, tasks.measure_wait),
    (tasks.measure_burn_async, tasks.measure_wait_async),
    (tasks.measure_from_outside, tasks.measure_wait),
]


@pytest.mark.parametrize(("burn", "wait"), PAIRS)
def test_a_computing_and_a_waiting_job_are_charged_their_own_cpu_time(
    worker: Worker, burn: Any, wait: Any
) -> None:
    waiting, burning = worker.send(wait, 0.6), worker.send(burn, 0.3)
    assert burning.get(timeout=10) == pytest.approx(0.3, abs=0.03)
    assert waiting.get(timeout=10) < 0.05 * 0.6


def test_the_greenlets_that_a_job_spawns_count_for_it(workers: dict[str, Worker]) -> None:
    worker = workers["gevent"]
    waiting, burning = worker.send(tasks.measure_wait, 0.6), worker.send(tasks.measure_green_children, 0.3)
    assert burning.get(timeout=10) == pytest.approx(0.3, abs=0.03)
    assert waiting.get(timeout=10) < 0.05 * 0.6


def test_the_threads_that_a_job_starts_count_for_it(worker: Worker) -> None:
    waiting, computing = worker.send(tasks.measure_wait, 0.6), worker.send(tasks.measure_threads, 0.4)
    assert computing.get(timeout=20) == pytest.approx(0.4, abs=0.04)
    assert waiting.get(timeout=10) < 0.05 * 0.6
    again = worker.send(tasks.measure_threads, 0.4)  # in the slots' same threads
    assert again.get(timeout=20) == pytest.approx(0.4, abs=0.04)


def test_the_native_threads_of_gevent_count_for_their_job(workers: dict[str, Worker]) -> None:
    assert workers["gevent"].run(tasks.measure_native_thread, 0.2) == pytest.approx(0.2, abs=0.03)


@pytest.mark.parametrize("task", [tasks.measure_program, tasks.measure_program_async, tasks.measure_forked])
def test_the_programs_that_a_job_starts_count_for_it(worker: Worker, task: Any) -> None:
    if worker.pool == "gevent" and task is tasks.measure_program_async:
        pytest.skip("asyncio starts no program beside gevent's hub")
    waiting = worker.send(tasks.measure_wait, 0.6)
    long, short = worker.send(task, 0.4), worker.send(task, 0.1)
    # With what starting the program costs.
    assert 0.38 < long.get(timeout=20) < 0.6
    assert 0.09 < short.get(timeout=20) < 0.3
    assert waiting.get(timeout=10) < 0.05 * 0.6


def test_a_program_that_a_job_leaves_running_counts_for_it_alone(worker: Worker) -> None:
    assert worker.run(tasks.measure_left_program, 0.3) == pytest.approx(0.35, abs=0.07)
    for _ in range(4):
        assert worker.run(tasks.wait_for_left_programs) < 0.1


@pytest.mark.parametrize("pool", ["gevent", "asyncio"])
def test_a_stopped_loop_shows_as_lag(workers: dict[str, Worker], pool: str) -> None:
    assert workers[pool].run(tasks.lag, 0.4) > 0.3


def test_a_job_knows_its_greenlet_or_task(workers: dict[str, Worker]) -> None:
    for pool, is_named in (("prefork", False), ("threads", False), ("gevent", True), ("asyncio", True)):
        name, on_loop, in_use = workers[pool].run(tasks.where)
        assert name.startswith("job-") == is_named
        assert not on_loop  # a plain body on the asyncio pool runs in a thread
        assert in_use >= (pool != "prefork")
