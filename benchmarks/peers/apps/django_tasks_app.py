"""django-tasks-db: the tasks of `django.tasks` in the project's database."""

from typing import Any

import django

django.setup()

from django.tasks import task  # noqa: E402

from benchmarks.peers import bodies  # noqa: E402


@task()
def empty() -> None:
    """Do nothing."""
    bodies.empty()


@task()
def wait() -> None:
    """Wait for 100 ms."""
    bodies.wait()


@task()
def compute() -> None:
    """Compute for 20 ms."""
    bodies.compute()


@task()
def payload(text: str) -> None:
    """Take a text of 10 KiB."""
    bodies.payload(text)


TASKS: dict[str, Any] = {"empty": empty, "wait": wait, "compute": compute, "payload": payload}


def enqueue(workload: str, jobs: int) -> None:
    """Submit jobs one by one."""
    one, params = TASKS[workload], bodies.PARAMS[workload]
    for _ in range(jobs):
        one.enqueue(**params)
