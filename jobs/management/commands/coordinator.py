"""`manage.py coordinator`: run the coordinator."""

import signal
from typing import Any

from django.core.management.base import BaseCommand

from jobs.coordinator import Coordinator


class Command(BaseCommand):
    """Record outcomes, publish, rescue and release until SIGTERM or SIGINT."""

    help = "Run the coordinator: it records outcomes, publishes, rescues, and releases blocks of comparisons."

    def handle(self, **options: Any) -> None:
        """Run until a signal asks to stop."""
        coordinator = Coordinator()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: coordinator.stop())
        self.stdout.write("coordinator ready")
        coordinator.run()
