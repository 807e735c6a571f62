"""The key under which a repeated submission stores nothing new: the caller's, or one that a 503 returns."""

from secrets import token_urlsafe
from typing import Annotated, Any

from django.http import HttpRequest
from ninja import Header

from poolwise.web import views

Key = Annotated[str, Header(alias=views.IDEMPOTENCY_KEY, max_length=200)]


def stored_key(request: HttpRequest, given: str) -> str:
    """Return the key to store; without one of the caller's it is random, and an error page of this request has it."""
    answering: Any = request
    answering.idempotency_key = given or token_urlsafe()
    return f"api {answering.idempotency_key}"
