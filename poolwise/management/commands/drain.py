"""`manage.py drain POOL`: pause a pool and wait for its running jobs."""

import time
from argparse import ArgumentParser
from functools import partial
from typing import Any

from django.core.management.base import CommandError

from poolwise.control import drain
from poolwise.management.arguments import number
from poolwise.management.operator import OperatorCommand, by_whom
from poolwise.management.patience import patiently
from poolwise.models import Job
from poolwise.support import count

_CHECK_EVERY_S = 0.25
#: A job that started just before the pause may not be recorded as running yet.
_SETTLE_S = 2.0


class Command(OperatorCommand):
    """Drain a pool; exit status 0 only when no job runs there any more."""

    help = "Drain a pool: start no more of its jobs and wait until the running ones have ended."
    takes_definition = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add how long to wait."""
        super().add_arguments(parser)
        parser.add_argument(
            "--wait",
            type=number,
            default=60.0,
            metavar="SECONDS",
            help="how long to wait (default 60); 0: do not wait",
        )

    def run(self, options: dict[str, Any]) -> None:
        """Drain the pool. Raise CommandError when jobs still run at the end of the wait."""
        self.print_result(drain(options["pool"], user=None, reason=options["reason"], **by_whom()))
        if options["wait"] <= 0:
            return
        began = time.monotonic()
        running = partial(self._running, options["pool"])
        while (
            left := patiently(running, until_mono=began + options["wait"])
        ) or time.monotonic() - began < _SETTLE_S:
            if left and time.monotonic() - began > options["wait"]:
                raise CommandError(
                    f"{count(left, 'job')} still running after {options['wait']:g} s; the pool stays paused."
                )
            time.sleep(_CHECK_EVERY_S)
        self.stdout.write(f"No job runs on {options['pool']} any more.")

    def _running(self, pool: str) -> int:
        return Job.objects.running().filter(pool=pool).count()
