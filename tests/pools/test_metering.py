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


@pytest.mark.parametrize("pool", ["gevent", "asyncio"])
def test_a_stopped_loop_shows_as_lag(workers: dict[str, Worker], pool: str) -> None:
    assert workers[pool].run(tasks.lag, 0.4) > 0.3


def test_a_job_knows_its_greenlet_or_task(workers: dict[str, Worker]) -> None:
    for pool, is_named in (("prefork", False), ("threads", False), ("gevent", True), ("asyncio", True)):
        name, on_loop, in_use = workers[pool].run(tasks.where)
        assert name.startswith("job-") == is_named
        assert not on_loop  # a plain body on the asyncio pool runs in a thread
        assert in_use >= (pool != "prefork")
