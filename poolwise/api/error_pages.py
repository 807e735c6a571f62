"""Errors outside endpoints, and unexpected ones: Django answers with HTML pages, which become JSON here."""

import json
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from django.http import HttpRequest, HttpResponse

from poolwise.web import views

_JSON = "application/json"
_DETAILS = {
    400: "Bad request.",
    403: "Permission denied.",
    404: "There is no such endpoint; /api/openapi.json lists them.",
    405: "Allowed methods: {allow}.",
    409: views.GONE,
    500: "Server error; it was logged.",
}


class JsonFaults:
    """Middleware: gives every error under /api/ the shape of `Problem`, and keeps its status and headers."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer the request; make an error of the API JSON, if it is not already."""
        response = self.get_response(request)
        if request.path_info.startswith("/api/") and response.status_code >= 400 and not _is_json(response):
            _as_json(request, response)
        return response


def _is_json(response: HttpResponse) -> bool:
    return str(response.get("Content-Type", "")).startswith(_JSON)


def _as_json(request: HttpRequest, response: HttpResponse) -> None:
    response.content = json.dumps(_problem(request, response)).encode()
    response["Content-Type"] = f"{_JSON}; charset=utf-8"
    response["Content-Length"] = str(len(response.content))


def _problem(request: HttpRequest, response: HttpResponse) -> dict[str, Any]:
    status = response.status_code
    detail = _DETAILS.get(status) or f"{HTTPStatus(status).phrase}."
    if status == 503:
        detail = f"The database does not answer. {views.what_is_known(request)}"
    allow = " and ".join(sorted(response.get("Allow", "").split(", ")))
    problem: dict[str, Any] = {"detail": detail.replace("{allow}", allow), "fields": {}}
    if retry_after_s := response.get("Retry-After"):
        problem["retry_after_s"] = int(retry_after_s)
    if key := response.get(views.IDEMPOTENCY_KEY):
        problem["idempotency_key"] = key
    return problem
