import threading

from django.apps import AppConfig

from jobs.pools.job import Job


class OneSlot(AppConfig):
    """Makes the carriers of this process take turns, beneath everything that Poolwise counts."""

    name = "tests.one_slot"

    def ready(self) -> None:
        turn, run = threading.Lock(), Job.run

        def run_alone(job: Job) -> None:
            with turn:
                run(job)

        Job.run = run_alone  # type: ignore[method-assign]
