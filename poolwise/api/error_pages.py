"""Errors that reach no endpoint, or that one ends with by a fault: Django answers them as pages, which no program reads."""

import json
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from django.http import HttpRequest, HttpResponse

_JSON = "application/json"
_DETAILS = {
    400: "The server cannot read this request.",
    403: "You may not do that.",
    404: "There is no such endpoint: /api/openapi.json names them all.",
    405: "This address takes {allow} alone.",
    500: "Something went wrong on the server; the fault was logged.",
    503: "The database does not answer. Nothing of this request was stored: try again in a moment.",
}


class JsonFaults:
    """Gives every error below /api/ the shape of `Problem`, with the status and headers that it has."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer the request; an error as JSON where it is for the API and is not JSON already."""
        response = self.get_response(request)
        if request.path_info.startswith("/api/") and response.status_code >= 400 and not _is_json(response):
            _as_json(response)
        return response


def _is_json(response: HttpResponse) -> bool:
    return str(response.get("Content-Type", "")).startswith(_JSON)


def _as_json(response: HttpResponse) -> None:
    response.content = json.dumps(_problem(response)).encode()
    response["Content-Type"] = f"{_JSON}; charset=utf-8"
    response["Content-Length"] = str(len(response.content))


def _problem(response: HttpResponse) -> dict[str, Any]:
    status = response.status_code
    detail = _DETAILS.get(status) or f"{HTTPStatus(status).phrase}."
    allow = " and ".join(sorted(response.get("Allow", "").split(", ")))
    found: dict[str, Any] = {"detail": detail.format(allow=allow), "fields": {}}
    if retry_after_s := response.get("Retry-After"):
        found["retry_after_s"] = int(retry_after_s)
    return found
