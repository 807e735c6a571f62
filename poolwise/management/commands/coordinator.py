"""`manage.py coordinator`: run the coordinator."""

import signal
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError

from poolwise.coordinator import ThreadedCoordinator, own_reader, platform_duties, recording_duties
from poolwise.lab import lab_duties
from poolwise.management.patience import PatientCommand
from poolwise.support import REDIS_ERRORS, eviction_fault, wait_for_migrations, worker_client


class Command(PatientCommand):
    """Run the coordinator's duties until SIGTERM or SIGINT."""

    help = "Run the coordinator: it records outcomes, publishes and recovers jobs, and runs comparisons."
    requires_system_checks = ("poolwise",)  # the checks of URLs would load every page

    def handle(self, **options: Any) -> None:
        """Run until a signal stops it. Raise CommandError where Redis may evict queues."""
        # With DEBUG, Django keeps the text of every query and quotes its parameters with another query to SQLite.
        settings.DEBUG = False
        try:
            if fault := eviction_fault(worker_client()):
                raise CommandError(fault)
        except REDIS_ERRORS as error:
            self.stderr.write(f"Redis does not answer yet ({error}); waiting for it.")
        reader = own_reader()
        duties = [*platform_duties(reader), *lab_duties()]
        coordinator = ThreadedCoordinator(reader, recording_duties(reader), duties)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: coordinator.stop())
        if wait_for_migrations.wait_until_migrated(lambda: coordinator.is_stopping):
            self.stdout.write("coordinator ready")
            coordinator.run()
