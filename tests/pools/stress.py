"""Race limits and revocations against the ends of many short jobs in one pool; print what went wrong.

`python -m tests.pools.stress threads`: it needs no broker, since it hands the jobs to the pool itself.
"""

import sys

POOL = sys.argv[1]
if POOL == "gevent":
    from gevent import monkey

    monkey.patch_all()

import asyncio  # noqa: E402
import importlib  # noqa: E402
import logging  # noqa: E402
import random  # noqa: E402
import time  # noqa: E402
from collections import defaultdict  # noqa: E402
from typing import Any  # noqa: E402

from celery import Celery  # noqa: E402
from celery.app import trace  # noqa: E402

from poolwise.pools import api  # noqa: E402

JOBS, SLOTS, LIMITS_S = 600, 16, (None, 0.005, 0.01, 0.015)
app = Celery("stress", broker="memory://", task_cls="poolwise.pools.task:PoolTask")


@app.task(ignore_result=True)
def blocking(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        sum(range(200))
        if random.random() < 0.2:
            api.sleep(0.0005)


@app.task(ignore_result=True)
async def waiting(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        await asyncio.sleep(0.0005)


def send(pool: Any, task: Any, number: int, ends: list[str]) -> int:
    """Give the pool one job with random limits; return its number."""
    request = {"id": str(number), "task": task.name, "delivery_info": {}, "hostname": "here"}
    body = ((random.uniform(0, 0.02),), {}, {})
    return pool.apply_async(
        trace.fast_trace_task,
        args=(task.name, str(number), request, body, None, None),
        callback=lambda result: ends.append("success"),
        error_callback=lambda error: ends.append("error"),
        timeout_callback=lambda soft, limit: soft or ends.append("timeout"),
        soft_timeout=random.choice(LIMITS_S),
        timeout=random.choice(LIMITS_S),
    ).number


def race(pool: Any, task: Any) -> int:
    """Return how many jobs did not end exactly once."""
    ends: dict[int, list[str]] = defaultdict(list)
    revoked, numbers = set(), []
    for number in range(JOBS):
        numbers.append(send(pool, task, number, ends[number]))
        if random.random() < 0.1:
            victim = random.randrange(max(0, number - 20), number + 1)
            revoked.add(victim)
            pool.terminate_job(numbers[victim])
        if number % 40 == 0:
            time.sleep(0.02)
    deadline = time.monotonic() + 30
    while (pool.active or pool.waiting) and time.monotonic() < deadline:
        time.sleep(0.02)
    return sum(
        len(ends[number]) != 1 and not (number in revoked and not ends[number]) for number in range(JOBS)
    )


def main() -> None:
    """Race both kinds of body; exit with 1 if a job ended wrongly or a slot was lost."""
    logging.disable(logging.ERROR)
    app.finalize()
    for task in app.tasks.values():
        task.__trace__ = trace.build_tracer(task.name, task, app=app)
    trace.setup_worker_optimizations(app, "stress@here")
    pool = importlib.import_module(f"poolwise.pools.{POOL}").TaskPool(SLOTS, app=app)
    pool.start()
    wrong = [race(pool, task) for task in (blocking, waiting)]
    print("ended wrongly:", wrong, "still active:", pool.active)  # noqa: T201
    sys.exit(int(any(wrong) or pool.active > 0))


main()
