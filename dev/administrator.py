"""The development administrator: made once, never with DEBUG off."""

import os
import secrets
from pathlib import Path

from django.conf import settings
from django.contrib.auth import get_user_model

NAME = "admin"


def login() -> str:
    """Return name and password of the administrator, created if missing; the password is kept in var/."""
    if not settings.DEBUG:
        return "an account made with: .venv/bin/python manage.py createsuperuser"
    users, kept = get_user_model(), Path(settings.VAR_DIR) / "admin-password"
    user = users.objects.filter(username=NAME).first()
    password = kept.read_text().strip() if kept.exists() else secrets.token_urlsafe(9)
    if user is None:
        _write_private(kept, password)
        users.objects.create_superuser(NAME, "", password)
    elif not user.check_password(password):
        return (
            f"{NAME} and the password you gave it (new one: .venv/bin/python manage.py changepassword {NAME})"
        )
    return f"{NAME} / {password}"


def _write_private(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(f"{text}\n")
