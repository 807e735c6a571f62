"""Submit as code of a project does. Imported once Django is set up."""

import os

import django

django.setup()

from benchmarks.peers.bodies import PARAMS  # noqa: E402
from poolwise import Job, submit  # noqa: E402

_COPIES = 1000


def submit_copies(workload: str, jobs: int) -> list[Job]:
    """Submit jobs in requests of 1,000 copies at most; return them."""
    submitted: list[Job] = []
    for first in range(0, jobs, _COPIES):
        copies = min(_COPIES, jobs - first)
        name = f"poolwise_app.{workload}"
        submitted += submit(name, PARAMS[workload], pool=os.environ["BENCH_POOL"], copies=copies)
    return submitted
