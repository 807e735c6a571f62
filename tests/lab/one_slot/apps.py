import threading

from django.apps import AppConfig

from poolwise.pools.request import PoolRequest


class OneSlot(AppConfig):
    """Makes the carriers of this process take turns, beneath everything that Poolwise counts."""

    name = "tests.lab.one_slot"

    def ready(self) -> None:
        turn, run = threading.Lock(), PoolRequest.run

        def run_alone(job: PoolRequest) -> None:
            with turn:
                run(job)

        PoolRequest.run = run_alone  # type: ignore[method-assign]
