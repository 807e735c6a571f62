"""arq, whose results stay in Redis for an hour."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Any

from arq import create_pool, func
from arq.connections import RedisSettings

from benchmarks.peers.bodies import COROUTINES, PARAMS

_redis = RedisSettings.from_dsn(os.environ["BENCH_REDIS"])
_AT_ONCE = 50


def _task(name: str, body: Callable[..., Awaitable[None]]) -> Any:
    async def run(_: dict[str, Any], **params: Any) -> None:
        await body(**params)

    return func(run, name=name)


class WorkerSettings:
    """What the program `arq` reads."""

    functions = [_task(name, body) for name, body in COROUTINES.items()]
    redis_settings = _redis
    # Half of the slots: two processes.
    max_jobs = int(os.environ["BENCH_SLOTS"]) // 2
    poll_delay = 0.05


def enqueue(workload: str, jobs: int) -> None:
    """Submit jobs, fifty at a time."""
    asyncio.run(_enqueue(workload, jobs))


async def _enqueue(workload: str, jobs: int) -> None:
    pool = await create_pool(_redis)
    for first in range(0, jobs, _AT_ONCE):
        count = min(_AT_ONCE, jobs - first)
        await asyncio.gather(*(pool.enqueue_job(workload, **PARAMS[workload]) for _ in range(count)))
    await pool.aclose()
