"""Query parameters: an unknown name is an error, as in a request body."""

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from django.http import HttpRequest
from pydantic import BaseModel

from poolwise.api.app import api
from poolwise.support import InvalidParameters


def strict[**P, T](view: Callable[P, T]) -> Callable[P, T]:
    """Make an endpoint refuse unknown query parameters."""

    @functools.wraps(view)
    def wrapper(*args: P.args, **values: P.kwargs) -> T:
        request: Any = args[0]
        _refuse_unknown(request, values)
        return view(*args, **values)

    return wrapper


def _refuse_unknown(request: HttpRequest, values: dict[str, Any]) -> None:
    """Raise InvalidParameters for unknown query parameters; only GET takes any."""
    match = request.resolver_match
    in_path = match.kwargs if match else {}
    taken = list(_names(values, in_path)) if request.method == "GET" else []
    detail = (
        f"Unknown parameter; allowed: {', '.join(taken)}."
        if taken
        else "Unknown parameter; none are allowed."
    )
    if unknown := [name for name in request.GET if name not in taken]:
        raise InvalidParameters(dict.fromkeys(unknown, detail))


def _names(values: dict[str, Any], in_path: Mapping[str, Any]) -> Iterator[str]:
    for name, value in values.items():
        if isinstance(value, BaseModel):
            yield from type(value).model_fields
        elif name not in in_path:
            yield name


api.add_decorator(strict, mode="operation")
