"""`manage.py submit DEFINITION`: submit any number of copies, waiting while the queue is full."""

import time
from argparse import ArgumentParser
from functools import partial
from secrets import token_urlsafe
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError

from poolwise import definitions
from poolwise.lifecycle import back_pressure, pool_choice, submission
from poolwise.management.arguments import add_parameters, number, parameters, whole
from poolwise.management.operator import user_of
from poolwise.management.patience import PatientCommand, patiently
from poolwise.pools import AUTO
from poolwise.support import PoolwiseError, QueueFull

_AT_ONCE = 500
#: While the queue is full, retry at least this often.
_CHECK_EVERY_S = 2.0


class Command(PatientCommand):
    """Submit copies in parts; wait while the queue is full."""

    help = "Submit copies of a job, waiting while the queue is full."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("definition", help="definition of the job, such as io.wait")
        parser.add_argument("--pool", default=AUTO, help="pool (default: auto, chosen by comparisons)")
        parser.add_argument("--copies", type=whole, default=1, help="number of jobs (default 1)")
        add_parameters(parser)
        parser.add_argument("--user", help="owner of the jobs, whose own limit of queued jobs then applies")
        parser.add_argument(
            "--timeout",
            type=number,
            default=3600.0,
            metavar="SECONDS",
            help="how long to wait (default 3600)",
        )

    def handle(self, *, definition: str, pool: str, copies: int, timeout: float, **options: Any) -> None:
        """Submit all copies. Raise CommandError for bad input, or when the queue stays full."""
        if copies < 1:
            raise CommandError("--copies must be at least 1.")
        until_mono, left = time.monotonic() + timeout, copies
        user = _user(options["user"])
        try:
            params = parameters(definitions.get(definition), options["param"])
            pool = pool_choice.chosen(definition, pool).pool
            while left:
                room = patiently(partial(back_pressure.room, pool), until_mono=until_mono)
                part = min(left, _AT_ONCE, settings.JOB_MAX_COPIES, room or 1)
                # A part whose commit was done before the database failed is not stored twice.
                send = partial(
                    submission.submit, definition, params,
                    pool=pool, copies=part, user=user, idempotency_key=f"command {token_urlsafe()}",
                )  # fmt: skip
                try:
                    left -= len(patiently(send, until_mono=until_mono))
                except QueueFull as error:
                    self._wait(error, until_mono, left)
        except PoolwiseError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{copies:,} jobs of {definition} submitted to {pool}.")

    def _wait(self, error: QueueFull, until_mono: float, left: int) -> None:
        if time.monotonic() > until_mono:
            raise CommandError(f"{left:,} jobs were not submitted: {error}")
        self.stderr.write(f"{left:,} jobs wait to be submitted: {error}")
        time.sleep(min(error.retry_after_s, _CHECK_EVERY_S))


def _user(name: str | None) -> Any:
    if name is None:
        return None
    return user_of(name)
