"""Huey with Redis; each result is stored, None included."""

import os

from huey import RedisHuey

from benchmarks.peers.bodies import FUNCTIONS, PARAMS

huey = RedisHuey("peers", url=os.environ["BENCH_REDIS"], results=True, store_none=True)
TASKS = {name: huey.task(name=name)(function) for name, function in FUNCTIONS.items()}


def enqueue(workload: str, jobs: int) -> None:
    """Submit jobs one by one."""
    task, params = TASKS[workload], PARAMS[workload]
    for _ in range(jobs):
        task(**params)
