"""`manage.py drain POOL`: pause a pool and wait until it runs empty."""

import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from poolwise.control import drain
from poolwise.management.operator import OperatorCommand, by_whom
from poolwise.models import Job

_CHECK_EVERY_S = 0.25
#: A job that began just before the pool was held may not be in the ledger yet.
_SETTLE_S = 2.0


class Command(OperatorCommand):
    """Drain a pool; exit status 0 only when nothing runs there any more."""

    help = "Drain a pool: no new jobs begin; wait until what runs has ended."
    takes_definition = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare how long to wait, too."""
        super().add_arguments(parser)
        parser.add_argument(
            "--wait", type=float, default=60.0, metavar="SECONDS", help="how long to wait (60); 0: not at all"
        )

    def run(self, options: dict[str, Any]) -> None:
        """Drain it. Raise CommandError when jobs still run at the end of the wait."""
        self.print_result(drain(options["pool"], user=None, reason=options["reason"], **by_whom()))
        if options["wait"] <= 0:
            return
        began = time.monotonic()
        while (left := self._running(options["pool"])) or time.monotonic() - began < _SETTLE_S:
            if left and time.monotonic() - began > options["wait"]:
                raise CommandError(f"{left} jobs still run after {options['wait']:g} s; the pool stays held.")
            time.sleep(_CHECK_EVERY_S)
        self.stdout.write("Nothing runs on it any more.")

    def _running(self, pool: str) -> int:
        return Job.objects.running().filter(pool=pool).count()
