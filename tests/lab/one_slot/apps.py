import threading

from django.apps import AppConfig

from poolwise.pools.request import PoolRequest


class OneSlot(AppConfig):
    """Runs the jobs of this process one after another, beneath everything that Poolwise measures."""

    name = "tests.lab.one_slot"

    def ready(self) -> None:
        turn, run = threading.Lock(), PoolRequest.run

        def run_alone(job: PoolRequest) -> None:
            with turn:
                run(job)

        PoolRequest.run = run_alone  # type: ignore[method-assign]
