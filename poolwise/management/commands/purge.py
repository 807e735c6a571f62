"""`manage.py purge POOL`: cancel every queued job of a pool."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from poolwise.control import purge
from poolwise.management.operator import OperatorCommand, by_whom
from poolwise.models import Job
from poolwise.support import storable


class Command(OperatorCommand):
    """Purge a pool's queue after a confirmation."""

    help = "Cancel every queued job of a pool and delete its messages from the broker. Running jobs continue."
    takes_definition = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add how to skip the confirmation."""
        super().add_arguments(parser)
        parser.add_argument("--yes", action="store_true", help="skip the confirmation")

    def run(self, options: dict[str, Any]) -> None:
        """Confirm and purge. Raise CommandError unless it is confirmed."""
        pool = options["pool"]
        queued = Job.objects.queued().filter(pool=storable(pool)).count()
        if not options["yes"] and not self._is_confirmed(f"Cancel {queued:,} queued jobs of {pool}?"):
            raise CommandError("Nothing was purged.")
        purged = purge(pool, user=None, reason=options["reason"], **by_whom())
        deleted = "" if purged.messages is None else f", {purged.messages:,} messages deleted from the broker"
        self.stdout.write(f"{purged.cancelled:,} jobs of {pool} cancelled{deleted}.")

    def _is_confirmed(self, question: str) -> bool:
        try:
            return input(f"{question} Type yes: ").strip().lower() == "yes"
        except EOFError:
            raise CommandError(
                "No terminal to confirm on: add --yes to purge without confirmation."
            ) from None
