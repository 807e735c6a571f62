"""Responses to requests that failed."""

import sys

import structlog
from django.core.exceptions import ObjectDoesNotExist
from django.db import IntegrityError, InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from django.template import loader
from django.utils.html import format_html

log = structlog.get_logger(__name__)
#: The database is unavailable, locked past its time-out, full or out of connections: the client may retry.
_PASSING = (OperationalError, InterfaceError)
RETRY_AFTER_S = 5
#: What the request reads or refers to was deleted meanwhile, by retention or with its user.
_GONE = (IntegrityError, ObjectDoesNotExist)
GONE = (
    "Something that this request refers to was deleted or changed meanwhile: look at it before you try again."
)
#: The header with the key under which a repeated submission stores nothing new.
IDEMPOTENCY_KEY = "Idempotency-Key"
_SAFE = ("GET", "HEAD", "OPTIONS")
#: Where the pages cannot be drawn, such as without the collected static files.
_PLAIN = (
    '<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>{0} · Poolwise</title>\n'
    "<h1>{0}</h1>\n<p>{1}</p>\n</html>\n"
)


def nowhere(request: HttpRequest) -> HttpResponse:
    """Raise Http404 for a URL with a NUL: PostgreSQL's driver raises an error when it looks such a name up."""
    raise Http404("No URL contains a NUL character.")


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer 503 when the database is unavailable, 409 when a row has gone meanwhile, and 500 for every other error."""
    error = sys.exc_info()[1]
    if isinstance(error, _GONE):
        return HttpResponse(_page("409.html", "Changed meanwhile", GONE), status=409)
    if not isinstance(error, _PASSING):
        text = "The error was logged. Jobs that were submitted before are not affected."
        return HttpResponse(_page("500.html", "Server error", text), status=500)
    page = _page("503.html", "The database does not answer", what_is_known(request))
    headers = {"Retry-After": str(RETRY_AFTER_S)}
    if key := getattr(request, "idempotency_key", ""):
        headers[IDEMPOTENCY_KEY] = key
    return HttpResponse(page, status=503, headers=headers)


def what_is_known(request: HttpRequest) -> str:
    """Return what to do about a request that failed with the database: its commit may be done, and only the reply lost."""
    if request.method in _SAFE:
        return "Try again in a moment."
    if key := getattr(request, "idempotency_key", ""):
        return (
            f"This request may have been stored. Send it again with the header {IDEMPOTENCY_KEY}: {key}, and nothing "
            "is stored twice."
        )
    if request.POST.get("token"):
        return "The form may have been stored. Reload this page to send it again: nothing is stored twice."
    return "This request may have been carried out: check that before you repeat it."


def _page(template: str, heading: str, text: str) -> str:
    """Return an error page; one that depends on nothing where the template cannot be drawn."""
    try:
        # Without the request, whose context would read the user from the database.
        return loader.get_template(template).render({"heading": heading, "text": text})
    except Exception as error:
        log.error("the error page cannot be drawn", error=str(error), type=type(error).__name__)
        return format_html(_PLAIN, heading, text)
