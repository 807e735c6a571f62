"""Huey with Redis; each result is stored, None included."""

import os

if int(os.environ["BENCH_SLOTS"]) >= 100:  # greenlets
    from gevent import monkey

    monkey.patch_all()

from huey import RedisHuey
from redis import ConnectionPool

from benchmarks.peers.bodies import FUNCTIONS, PARAMS

# The client allows a hundred connections by default, and each greenlet may have one.
_pool = ConnectionPool.from_url(os.environ["BENCH_REDIS"], max_connections=1_000)
huey = RedisHuey("peers", connection_pool=_pool, results=True, store_none=True)
TASKS = {name: huey.task(name=name)(function) for name, function in FUNCTIONS.items()}


def enqueue(workload: str, jobs: int) -> None:
    """Submit jobs one by one."""
    task, params = TASKS[workload], PARAMS[workload]
    for _ in range(jobs):
        task(**params)
