"""Celery as its guide to optimizing advises: no events, no rate limits, short jobs prefetched."""

import os
from collections.abc import Sequence
from typing import Any

from celery import Celery

from benchmarks.peers.bodies import FUNCTIONS, PARAMS

_backend = os.environ["BENCH_BACKEND"]
if _backend == "django-db":
    import django

    django.setup()

app = Celery("peers", broker=os.environ["BENCH_REDIS"])
app.conf.update(
    broker_connection_retry_on_startup=True,
    worker_disable_rate_limits=True,
    worker_prefetch_multiplier=int(os.environ["BENCH_PREFETCH"]),
    redis_max_connections=1_000,
    task_ignore_result=_backend == "ignored",
)
if _backend != "ignored":
    app.conf.update(result_backend=os.environ["BENCH_RESULTS"] if _backend == "redis" else _backend)
TASKS = {name: app.task(name=name)(function) for name, function in FUNCTIONS.items()}


def enqueue(workload: str, jobs: int) -> None:
    """Submit jobs on one connection."""
    task, params = TASKS[workload], dict(PARAMS[workload])
    with app.producer_pool.acquire(block=True) as producer:
        for _ in range(jobs):
            task.apply_async(kwargs=params, producer=producer)


def submit_one() -> str:
    """Submit a job that does nothing; return its id."""
    return str(TASKS["empty"].delay().id)


def stored(ids: Sequence[str]) -> list[str]:
    """Return those jobs whose outcome is stored."""
    if _backend == "django-db":
        from django_celery_results.models import TaskResult

        done = TaskResult.objects.filter(task_id__in=ids, status="SUCCESS")
        return list(done.values_list("task_id", flat=True))
    backend: Any = app.backend
    values = backend.mget([backend.get_key_for_task(one) for one in ids])
    return [one for one, value in zip(ids, values, strict=True) if value]
