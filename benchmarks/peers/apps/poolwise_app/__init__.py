"""The Django app with the jobs of the benchmark, and how they are submitted."""

from collections.abc import Sequence
from typing import Any

# `submitting` sets Django up, which imports this package.


def enqueue(workload: str, jobs: int) -> None:
    """Submit jobs in requests of 1,000 copies at most."""
    from benchmarks.peers.apps.poolwise_app.submitting import submit_copies

    submit_copies(workload, jobs)


def submit_one() -> Any:
    """Submit a job that does nothing; return its id."""
    from benchmarks.peers.apps.poolwise_app.submitting import submit_copies

    return submit_copies("empty", 1)[0].pk


def stored(ids: Sequence[Any]) -> list[Any]:
    """Return those jobs whose outcome is recorded."""
    from poolwise import Job

    return list(Job.objects.filter(pk__in=ids, state="succeeded").values_list("pk", flat=True))
