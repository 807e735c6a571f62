"""Bring the database up to date and see that the development administrator exists. Prints its login."""

import os
import secrets
import sys
from pathlib import Path

import django
from django.core.exceptions import ImproperlyConfigured

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
try:
    django.setup()
except ImproperlyConfigured as error:
    sys.exit(f"poolwise: {error}")

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.db import DatabaseError

NAME = "admin"


def main() -> int:
    """Migrate; with DEBUG on, create the administrator and keep its password in var/."""
    try:
        call_command("migrate", verbosity=0, interactive=False)
        print(_login())
    except (DatabaseError, CommandError) as error:
        print(
            f"poolwise: the database cannot be used: {str(error).strip()} (see DATABASE_URL)", file=sys.stderr
        )
        return 1
    return 0


def _login() -> str:
    if not settings.DEBUG:
        return "an account made with: .venv/bin/python manage.py createsuperuser"
    users, kept = get_user_model(), Path(settings.VAR_DIR) / "admin-password"
    user = users.objects.filter(username=NAME).first()
    password = kept.read_text().strip() if kept.exists() else secrets.token_urlsafe(9)
    if user is None:
        _write_private(kept, password)
        users.objects.create_superuser(NAME, "", password)
    elif not user.check_password(password):
        return f"{NAME} and the password that you gave it"
    return f"{NAME} / {password}"


def _write_private(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main())
