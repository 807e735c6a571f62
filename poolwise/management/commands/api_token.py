"""`manage.py api_token USER`: create, list or revoke tokens for the HTTP API."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from poolwise.control import tokens
from poolwise.management.arguments import whole
from poolwise.management.operator import user_of
from poolwise.management.patience import PatientCommand
from poolwise.models import ApiToken


class Command(PatientCommand):
    """Create a token and print it once, or list or revoke the user's tokens."""

    help = "Create an API token for a user and print it once, or list or revoke the user's tokens."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("user", help="username")
        parser.add_argument(
            "--name", default="made by command", help="name of the token (default: made by command)"
        )
        what = parser.add_mutually_exclusive_group()
        what.add_argument("--list", action="store_true", dest="lists", help="list the user's tokens")
        what.add_argument("--revoke", type=whole, metavar="ID", help="revoke one of the user's tokens")

    def handle(self, *, user: str, name: str, lists: bool, revoke: int | None, **options: Any) -> None:
        """Create, list or revoke. Raise CommandError for an unknown user or token."""
        owner = user_of(user)
        if lists:
            for token in ApiToken.objects.filter(user=owner):
                self.stdout.write(_line(token))
        elif revoke is not None:
            revoked = ApiToken.objects.filter(user=owner, pk=revoke).first()
            if revoked is None:
                raise CommandError(f"{user} has no token {revoke}; --list shows the tokens.")
            self.stdout.write("revoked" if tokens.revoke(revoked) else "already revoked")
        else:
            token, text = tokens.create(owner, name[:100])
            self.stderr.write(f"Token {token.pk} of {user}; it is not shown again:")
            self.stdout.write(text)


def _line(token: ApiToken) -> str:
    state = f"revoked {token.revoked_at:%Y-%m-%d %H:%M}" if token.revoked_at else "valid"
    used = f"last used {token.last_used_at:%Y-%m-%d %H:%M}" if token.last_used_at else "never used"
    return f"{token.pk}  {token.name}  {state}  {used}"
