"""Django-Q2: the queue in Redis, results in the project's database."""

import django

django.setup()

from django_q.tasks import async_task  # noqa: E402

from benchmarks.peers.bodies import PARAMS  # noqa: E402


def enqueue(workload: str, jobs: int) -> None:
    """Submit jobs one by one."""
    for _ in range(jobs):
        async_task(f"benchmarks.peers.bodies.{workload}", **PARAMS[workload])
