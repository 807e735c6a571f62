"""Taskiq with a list in Redis and results there."""

import asyncio
import os
from typing import Any

from taskiq.serializers import ORJSONSerializer
from taskiq_redis import ListQueueBroker, RedisAsyncResultBackend

from benchmarks.peers.bodies import COROUTINES, PARAMS

# Each coroutine may have a connection; the client's default of five seconds ends the read of an idle worker.
_options: dict[str, Any] = {"max_connection_pool_size": 1_000, "socket_timeout": None}
_results: Any = RedisAsyncResultBackend(os.environ["BENCH_RESULTS"], result_ex_time=3600, **_options)
broker = (
    ListQueueBroker(os.environ["BENCH_REDIS"], **_options)
    .with_result_backend(_results)
    .with_serializer(ORJSONSerializer())
)
TASKS = {name: broker.task(task_name=name)(body) for name, body in COROUTINES.items()}
_AT_ONCE = 50


def enqueue(workload: str, jobs: int) -> None:
    """Submit jobs, fifty at a time."""
    asyncio.run(_enqueue(workload, jobs))


async def _enqueue(workload: str, jobs: int) -> None:
    await broker.startup()
    task, params = TASKS[workload], PARAMS[workload]
    for first in range(0, jobs, _AT_ONCE):
        await asyncio.gather(*(task.kiq(**params) for _ in range(min(_AT_ONCE, jobs - first))))
    await broker.shutdown()
