"""Tokens of the HTTP API: long random texts, of which only a hash is stored."""

import hashlib
import secrets
from datetime import timedelta
from typing import TYPE_CHECKING

from django.db.models import Q
from django.utils import timezone

from poolwise.models import ApiToken, audit

if TYPE_CHECKING:
    from django.contrib.auth.models import User

_PREFIX = "pw_"
_NOTED_EVERY = timedelta(minutes=1)


def create(user: "User", name: str, *, by: "User | None" = None) -> tuple[ApiToken, str]:
    """Make a token for a user; return its row and, for this once, its text."""
    text = _PREFIX + secrets.token_urlsafe(32)
    token = ApiToken.objects.create(user=user, name=name, digest=_digest(text))
    audit.record("create token", f"token {token.pk} of {user.get_username()}", user=by, name=name)
    return token, text


def revoke(token: ApiToken, *, by: "User | None" = None) -> bool:
    """End a token; return whether it was not revoked before."""
    revoked = ApiToken.objects.filter(pk=token.pk, revoked_at=None).update(revoked_at=timezone.now())
    if revoked:
        audit.record("revoke token", f"token {token.pk} of {token.user.get_username()}", user=by)
    return bool(revoked)


def user_of(text: str) -> "User | None":
    """Return the user that a token speaks for; None if it is unknown, revoked, or the user may not log in."""
    # A digest of so much chance cannot be found by trying, so a plain hash and an index are enough.
    found = ApiToken.objects.select_related("user").filter(digest=_digest(text), revoked_at=None).first()
    if found is None or not found.user.is_active:
        return None
    now = timezone.now()
    stale = Q(last_used_at=None) | Q(last_used_at__lt=now - _NOTED_EVERY)
    ApiToken.objects.filter(stale, pk=found.pk).update(last_used_at=now)
    user: User = found.user
    return user


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
