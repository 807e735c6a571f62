"""The API itself: authentication, the size limit of request bodies, and error responses."""

import functools
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from ninja import NinjaAPI
from ninja.errors import AuthenticationError, HttpError, ValidationError
from ninja.openapi.schema import OpenAPISchema
from ninja.security import HttpBearer, django_auth

from poolwise.api.schemas import Problem
from poolwise.control import tokens
from poolwise.support import (
    BrokerUnavailable,
    InvalidParameters,
    PoolwiseError,
    QueueFull,
    Unavailable,
    UnderWay,
    UnknownDefinition,
    UnknownJob,
    UnknownPool,
)


class TokenAuth(HttpBearer):
    """`Authorization: Bearer pw_…`."""

    def authenticate(self, request: HttpRequest, token: str) -> Any:
        """Return the token's user. Raise AuthenticationError for a token that is not valid."""
        user = tokens.user_of(token)
        if user is None:
            raise AuthenticationError()  # do not fall back to the session: the caller sent a token
        request.user = user
        return user


class Api(NinjaAPI):
    """NinjaAPI with a cached schema: building it takes a second of CPU, and it needs no login."""

    def get_openapi_schema(
        self, *, path_prefix: str | None = None, path_params: dict[str, Any] | None = None
    ) -> OpenAPISchema:
        """Return the schema of all endpoints under the prefix, by default the API's own; do not change it."""
        return _schema(self.get_root_path(path_params or {}) if path_prefix is None else path_prefix)


@functools.lru_cache(maxsize=4)
def _schema(path_prefix: str) -> OpenAPISchema:
    return NinjaAPI.get_openapi_schema(api, path_prefix=path_prefix)


api = Api(
    title="Poolwise",
    version="1",
    description="Submit and follow jobs, inspect pools and comparisons, and operate pools. Every error is a Problem, "
    "also for an unknown URL (404) or a method that is not allowed (405).",
    auth=[TokenAuth(), django_auth],
    docs_url=None,  # its page loads scripts from other sites, which the content security policy forbids
    urls_namespace="api",
)
#: The errors that every endpoint may answer with.
PROBLEMS: dict[int, Any] = {code: Problem for code in (400, 401, 403, 404, 413, 422, 500, 503)}
#: The further errors of a submission; a full queue is a 503.
BUSY: dict[int, Any] = {code: Problem for code in (409, 429)}
_NOT_FOUND = (Http404, UnknownDefinition, UnknownJob, UnknownPool)
_RETRY_AFTER_S = 10


def bounded(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Refuse a body that is too large before reading it, and read an empty one as `{}`."""

    @functools.wraps(view)
    def wrapper(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        length = request.META.get("CONTENT_LENGTH") or "0"
        limit = min(settings.API_MAX_BODY_BYTES, settings.DATA_UPLOAD_MAX_MEMORY_SIZE or 2**63)
        if not (length.isascii() and length.isdigit()) or int(length) > limit:
            text = f"The body has {length} bytes; at most {limit} are allowed (API_MAX_BODY_BYTES)."
            return problem(request, 413, text)
        if request.method == "POST" and not int(length) and "HTTP_TRANSFER_ENCODING" not in request.META:
            # Otherwise the error would name our argument, not the missing field.
            request._body = b"{}"
        return view(request, *args, **kwargs)

    return wrapper


api.add_decorator(bounded, mode="view")


def problem(request: HttpRequest, status: int, detail: str, **more: Any) -> HttpResponse:
    """Answer with an error as JSON."""
    return api.create_response(request, {"detail": detail, "fields": {}, **more}, status=status)


def unknown_endpoint(request: HttpRequest, rest: str) -> HttpResponse:
    """Answer 404 as JSON for an unknown endpoint or a malformed id."""
    return problem(request, 404, f"There is no endpoint /api/{rest}; /api/openapi.json lists them.")


@api.exception_handler(AuthenticationError)
def _unknown_caller(request: HttpRequest, error: AuthenticationError) -> HttpResponse:
    response = problem(request, 401, "Log in, or send a valid token: Authorization: Bearer pw_…")
    response["WWW-Authenticate"] = "Bearer"
    return response


@api.exception_handler(HttpError)
def _http_error(request: HttpRequest, error: HttpError) -> HttpResponse:
    return problem(request, error.status_code, str(error))


@api.exception_handler(PermissionDenied)
def _denied(request: HttpRequest, error: PermissionDenied) -> HttpResponse:
    return problem(request, 403, str(error) or "Permission denied.")


def _not_found(request: HttpRequest, error: Any) -> HttpResponse:
    return problem(request, 404, str(error) or "Not found.")


for _kind in _NOT_FOUND:
    api.add_exception_handler(_kind, _not_found)


@api.exception_handler(ValidationError)
def _invalid(request: HttpRequest, error: ValidationError) -> HttpResponse:
    fields = {_field(fault["loc"]): str(fault["msg"]) for fault in error.errors}
    return problem(request, 422, "Validation failed.", fields=fields)


def _field(location: Any) -> str:
    # ("body", "payload", "copies") → copies: the caller does not know our argument's name.
    parts = [str(part) for part in location]
    return ".".join(parts[2:] or parts[1:] or parts)


@api.exception_handler(InvalidParameters)
def _invalid_parameters(request: HttpRequest, error: InvalidParameters) -> HttpResponse:
    return problem(request, 422, "Validation failed.", fields=error.errors)


@api.exception_handler(QueueFull)
def _full(request: HttpRequest, error: QueueFull) -> HttpResponse:
    queue = error.queue
    state = queue and {
        "pool": queue.pool, "queued": queue.queued, "oldest_s": queue.oldest_s, "workers": queue.workers
    }  # fmt: skip
    response = problem(request, error.status, str(error), queue=state, retry_after_s=error.retry_after_s)
    response["Retry-After"] = str(error.retry_after_s)
    return response


@api.exception_handler(BrokerUnavailable)
def _away(request: HttpRequest, error: BrokerUnavailable) -> HttpResponse:
    response = problem(request, 503, str(error), retry_after_s=_RETRY_AFTER_S)
    response["Retry-After"] = str(_RETRY_AFTER_S)
    return response


@api.exception_handler(UnderWay)
@api.exception_handler(Unavailable)
def _in_conflict(request: HttpRequest, error: PoolwiseError) -> HttpResponse:
    return problem(request, 409, str(error))


@api.exception_handler(PoolwiseError)
def _refused(request: HttpRequest, error: PoolwiseError) -> HttpResponse:
    return problem(request, 400, str(error))
