"""What a request gets that ended in a fault."""

import sys

from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from django.template import loader
from django.views import defaults

#: The database is away, locked past its time-out, full or out of connections: worth another try.
_PASSING = (OperationalError, InterfaceError)
RETRY_AFTER_S = 5


def nowhere(request: HttpRequest) -> HttpResponse:
    """Raise Http404 for an address with a NUL: PostgreSQL's driver raises wherever such a name is looked up."""
    raise Http404("No address holds a NUL character.")


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer 503 where the database does not answer, and 500 for every other fault."""
    if not isinstance(sys.exc_info()[1], _PASSING):
        return defaults.server_error(request)
    # Without the request: its context would ask the database who the user is.
    page = loader.get_template("503.html").render()
    return HttpResponse(page, status=503, headers={"Retry-After": str(RETRY_AFTER_S)})
