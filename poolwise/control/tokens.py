"""Tokens of the HTTP API: long random strings, of which only a hash is stored."""

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
_NOTE_USE_EVERY = timedelta(minutes=1)


def create(user: "User", name: str, *, by: "User | None" = None) -> tuple[ApiToken, str]:
    """Create a token for a user; return its row and its text, which is not stored."""
    text = _PREFIX + secrets.token_urlsafe(32)
    token = ApiToken.objects.create(user=user, name=name, digest=_digest(text))
    audit.record("create token", f"token {token.pk} of {user.get_username()}", user=by, name=name)
    return token, text


def revoke(token: ApiToken, *, by: "User | None" = None) -> bool:
    """Revoke a token; return False if it was revoked before."""
    revoked = ApiToken.objects.filter(pk=token.pk, revoked_at=None).update(revoked_at=timezone.now())
    if revoked:
        audit.record("revoke token", f"token {token.pk} of {token.user.get_username()}", user=by)
    return bool(revoked)


def user_of(text: str) -> "User | None":
    """Return the user of a token; None if the token is unknown or revoked, or the user may not log in."""
    # 256 random bits cannot be guessed, so a plain hash with an index is enough.
    rows = ApiToken.objects.select_related("user").filter(digest=_digest(text), revoked_at=None)
    token = next(iter(rows), None)
    if token is None or not token.user.is_active:
        return None
    now = timezone.now()
    if token.last_used_at is None or token.last_used_at < now - _NOTE_USE_EVERY:
        stale = Q(last_used_at=None) | Q(last_used_at__lt=now - _NOTE_USE_EVERY)
        ApiToken.objects.filter(stale, pk=token.pk).update(last_used_at=now)
    user: User = token.user
    return user


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
