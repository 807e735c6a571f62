"""Responses to requests that failed."""

import sys

from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from django.template import loader
from django.views import defaults

#: The database is unavailable, locked past its time-out, full or out of connections: the client may retry.
_PASSING = (OperationalError, InterfaceError)
RETRY_AFTER_S = 5


def nowhere(request: HttpRequest) -> HttpResponse:
    """Raise Http404 for a URL with a NUL: PostgreSQL's driver raises an error when it looks such a name up."""
    raise Http404("No URL contains a NUL character.")


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer 503 when the database is unavailable, and 500 for every other error."""
    if not isinstance(sys.exc_info()[1], _PASSING):
        return defaults.server_error(request)
    # Without the request, whose context would read the user from the database.
    page = loader.get_template("503.html").render()
    return HttpResponse(page, status=503, headers={"Retry-After": str(RETRY_AFTER_S)})
