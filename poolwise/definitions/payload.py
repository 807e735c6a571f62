"""The JSON form of parameters, which the database and the broker can store."""

import json
import re
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from poolwise.support import InvalidParameters

#: PostgreSQL's jsonb refuses the NUL character; an escaped backslash before `u0000` is no NUL.
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


def json_ready(instance: BaseModel) -> dict[str, Any]:
    """Return the values of a model as JSON values. Raise InvalidParameters that names those without a JSON form."""
    ready: dict[str, Any] = {}
    errors: dict[str, str] = {}
    for name, field in type(instance).model_fields.items():
        alias = field.alias or name
        try:
            ready[alias] = _plain(instance, name)[alias]
        except (ValueError, TypeError, RecursionError) as error:
            errors[alias] = _reason(error)
    if errors:
        raise InvalidParameters(errors)
    return ready


def _plain(instance: BaseModel, name: str) -> dict[str, Any]:
    value: dict[str, Any] = instance.model_dump(mode="json", by_alias=True, include={name})
    text = json.dumps(value, allow_nan=False, ensure_ascii=False)
    text.encode()
    if _NUL.search(text):
        raise ValueError("it contains a NUL character")
    return value


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "This value is nested too deeply."
    detail = str(error).splitlines()[0][:200]
    return f"This value cannot be stored as JSON: {detail}."


def refuse_oversized(params: Mapping[str, Any], max_bytes: int) -> None:
    """Raise InvalidParameters that names the largest parameter if all together exceed `max_bytes`."""
    sizes = {name: size_bytes(value) for name, value in params.items()}
    total_bytes = size_bytes(params)
    if total_bytes <= max_bytes:
        return
    largest = max(sizes, key=sizes.__getitem__)
    raise InvalidParameters(
        {
            largest: f"The parameters take {total_bytes:,} bytes and this one {sizes[largest]:,}; "
            f"at most {max_bytes:,} are allowed. Pass a reference to the data instead of the data."
        }
    )


def size_bytes(value: Any) -> int:
    """Return the length of a value as compact UTF-8 JSON."""
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())
