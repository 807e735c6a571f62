"""`manage.py api_token USER`: make a token for the HTTP API, list a user's, or revoke one."""

from argparse import ArgumentParser
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError

from poolwise.control import tokens
from poolwise.models import ApiToken


class Command(BaseCommand):
    """Print the new token once; it cannot be read again."""

    help = "Make an API token for a user and print it once; or list (--list) or revoke (--revoke ID) theirs."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("user", help="a user's name")
        parser.add_argument("--name", default="made by command", help="what it is for")
        what = parser.add_mutually_exclusive_group()
        what.add_argument("--list", action="store_true", dest="lists", help="list the user's tokens")
        what.add_argument("--revoke", type=int, metavar="ID", help="revoke one of the user's tokens")

    def handle(self, *, user: str, name: str, lists: bool, revoke: int | None, **options: Any) -> None:
        """Do it. Raise CommandError for an unknown user or token."""
        found = get_user_model().objects.filter(username=user).first()
        if found is None:
            raise CommandError(f"There is no user {user!r}.")
        if lists:
            for token in ApiToken.objects.filter(user=found):
                self.stdout.write(_line(token))
        elif revoke is not None:
            theirs = ApiToken.objects.filter(user=found, pk=revoke).first()
            if theirs is None:
                raise CommandError(f"{user} has no token {revoke}; --list shows theirs.")
            self.stdout.write("revoked" if tokens.revoke(theirs) else "was revoked before")
        else:
            token, text = tokens.create(found, name[:100])
            self.stderr.write(f"Token {token.pk} of {user}; it is shown this once:")
            self.stdout.write(text)


def _line(token: ApiToken) -> str:
    state = f"revoked {token.revoked_at:%Y-%m-%d %H:%M}" if token.revoked_at else "valid"
    used = f"last used {token.last_used_at:%Y-%m-%d %H:%M}" if token.last_used_at else "never used"
    return f"{token.pk}  {token.name}  {state}  {used}"
