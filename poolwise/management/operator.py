"""What `pause`, `resume`, `drain` and `purge` share: target, reason, and the operator's account; users by name."""

import getpass
from argparse import ArgumentParser
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import CommandError

from poolwise.control import ActionResult
from poolwise.management.patience import PatientCommand
from poolwise.models import Pause
from poolwise.support import PoolwiseError


class OperatorCommand(PatientCommand):
    """A command on a pool or, with `--definition`, on a definition."""

    takes_definition = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the target and the reason."""
        parser.add_argument("pool", nargs="?" if self.takes_definition else None, help="name of the pool")
        if self.takes_definition:
            parser.add_argument("--definition", metavar="NAME", help="a definition instead of a pool")
        parser.add_argument("--reason", required=True, help="reason, kept in the audit log")

    def handle(self, **options: Any) -> None:
        """Run the command. Raise CommandError for bad input."""
        try:
            self.run(options)
        except PoolwiseError as error:
            raise CommandError(str(error)) from error

    def run(self, options: dict[str, Any]) -> None:
        """Run the command's action and print its result. Raise PoolwiseError for bad input."""
        raise NotImplementedError

    def print_result(self, result: ActionResult) -> None:
        """Print the result of an action."""
        self.stdout.write(result.text)


def target(options: dict[str, Any]) -> tuple[str, str]:
    """Return kind and name of the target. Raise CommandError unless exactly one is given."""
    pool, definition = options["pool"] or "", options.get("definition") or ""
    if bool(pool) == bool(definition):
        raise CommandError("Name a pool, or a definition with --definition.")
    return (Pause.Kind.POOL, pool) if pool else (Pause.Kind.DEFINITION, definition)


def user_of(name: str) -> Any:
    """Return the user of that login name. Raise CommandError if there is none."""
    users: Any = get_user_model()
    user = users.objects.filter(**{users.USERNAME_FIELD: name}).first()
    if user is None:
        raise CommandError(f"There is no user {name!r}.")
    return user


def by_whom() -> dict[str, str]:
    """Return what the audit log records of an action without a logged-in user."""
    try:
        return {"by": "command", "account": getpass.getuser()}
    except (OSError, KeyError):  # the user of a container may have no name
        return {"by": "command"}
