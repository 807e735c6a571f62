"""`manage.py purge POOL`: cancel everything that is queued on a pool."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from poolwise.control import purge
from poolwise.management.operator import OperatorCommand, by_whom
from poolwise.models import Job
from poolwise.support import storable


class Command(OperatorCommand):
    """Purge a pool's queue; asks first."""

    help = "Cancel every queued job of a pool and take its messages off the broker; what runs goes on."
    takes_definition = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare how to go without the question, too."""
        super().add_arguments(parser)
        parser.add_argument("--yes", action="store_true", help="do not ask")

    def run(self, options: dict[str, Any]) -> None:
        """Ask, then purge. Raise CommandError unless it is confirmed."""
        pool = options["pool"]
        queued = Job.objects.queued().filter(pool=storable(pool)).count()
        if not options["yes"] and not self._is_confirmed(f"Cancel {queued:,} queued jobs of {pool}?"):
            raise CommandError("Nothing was purged.")
        purged = purge(pool, user=None, reason=options["reason"], **by_whom())
        taken = "" if purged.messages is None else f", {purged.messages:,} messages taken off the broker"
        self.stdout.write(f"{purged.cancelled:,} jobs of {pool} cancelled{taken}.")

    def _is_confirmed(self, question: str) -> bool:
        try:
            return input(f"{question} Type yes: ").strip().lower() == "yes"
        except EOFError:
            raise CommandError("Nobody answers here: give --yes to purge without the question.") from None
