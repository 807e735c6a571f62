"""The Django app with the jobs of the benchmark, and how they are submitted."""


def enqueue(workload: str, jobs: int) -> None:
    """Submit jobs in requests of 1,000 copies at most."""
    from benchmarks.peers.apps.poolwise_app.submitting import submit_copies

    submit_copies(workload, jobs)
