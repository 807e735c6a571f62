"""What the commands of an operator share: the target, the reason, and who asked."""

import getpass
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from poolwise.control import ActionResult
from poolwise.models import Pause
from poolwise.support import PoolwiseError


class OperatorCommand(BaseCommand):
    """A command on a pool, or with `--definition` on a definition."""

    takes_definition = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the target and the reason."""
        parser.add_argument("pool", nargs="?" if self.takes_definition else None, help="a pool's name")
        if self.takes_definition:
            parser.add_argument("--definition", metavar="NAME", help="a definition instead of a pool")
        parser.add_argument("--reason", required=True, help="why; the audit log keeps it")

    def handle(self, **options: Any) -> None:
        """Act and say what came of it. Raise CommandError for bad input."""
        try:
            self.run(options)
        except PoolwiseError as error:
            raise CommandError(str(error)) from error

    def run(self, options: dict[str, Any]) -> None:
        """Do what the command is for."""
        raise NotImplementedError

    def print_result(self, result: ActionResult) -> None:
        """Print what came of an act."""
        self.stdout.write(result.text)


def target(options: dict[str, Any]) -> tuple[str, str]:
    """Return kind and name of what is meant. Raise CommandError unless exactly one is named."""
    pool, definition = options["pool"] or "", options.get("definition") or ""
    if bool(pool) == bool(definition):
        raise CommandError("Name a pool, or give --definition with a definition's name.")
    return (Pause.Kind.POOL, pool) if pool else (Pause.Kind.DEFINITION, definition)


def by_whom() -> dict[str, str]:
    """Return what the audit log keeps of an act that no logged-in user did."""
    try:
        return {"by": "command", "account": getpass.getuser()}
    except (OSError, KeyError):  # a container's user may have no name
        return {"by": "command"}
