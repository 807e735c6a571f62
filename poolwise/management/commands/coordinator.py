"""`manage.py coordinator`: run the coordinator."""

import signal
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from poolwise.coordinator import Coordinator, own_reader, platform_duties
from poolwise.lab import lab_duties
from poolwise.support import REDIS_ERRORS, eviction_fault, wait_for_migrations, worker_client


class Command(BaseCommand):
    """Record outcomes, publish, rescue and release until SIGTERM or SIGINT."""

    help = (
        "Run the coordinator: it records outcomes, publishes, rescues, and releases batches of comparisons."
    )
    requires_system_checks = ("poolwise",)  # the site's would load every page

    def handle(self, **options: Any) -> None:
        """Run until a signal asks to stop. Raise CommandError where Redis would evict queues."""
        # With DEBUG Django keeps the text of every query, and asks SQLite to quote each parameter for it.
        settings.DEBUG = False
        try:
            if fault := eviction_fault(worker_client()):
                raise CommandError(fault)
        except REDIS_ERRORS as error:
            self.stderr.write(f"Redis does not answer yet ({error}); the coordinator waits for it.")
        reader = own_reader()
        coordinator = Coordinator(reader, [*platform_duties(reader), *lab_duties()])
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: coordinator.stop())
        if wait_for_migrations.wait_until_migrated(lambda: coordinator.is_stopping):
            self.stdout.write("coordinator ready")
            coordinator.run()
