"""The JSON form of results: of all that parameters may be, and of NumPy's scalars and arrays."""

import inspect
import json
import types
import typing
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import lru_cache
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from pydantic import ConfigDict, PydanticUserError, TypeAdapter
from pydantic_core import to_jsonable_python

from poolwise.definitions.annotations import parts_of
from poolwise.support import BadDefinition

_CONFIG = ConfigDict(ser_json_inf_nan="constants")  # else an infinity would silently become null
#: An annotation made of these alone needs no adapter: the value says all.
_PLAIN = (bool, int, float, str, list, dict, tuple, type(None), None, Any, ..., typing.Union, types.UnionType)
_UNUSABLE = (PydanticUserError, NameError, TypeError)
_NOTHING = (None, typing.NoReturn, typing.Never)
_django = DjangoJSONEncoder()
_encode = json.JSONEncoder(allow_nan=False).encode  # `dumps` would make one for each result


def result_adapter(owner: str, func: Callable[..., Any]) -> TypeAdapter[Any] | None:
    """Return what makes JSON of a function's results by their annotation; None if the value alone says how.

    Raise BadDefinition if no value of that type can be stored.
    """
    annotation = _return_annotation(func)
    if annotation in _NOTHING or all(map(_is_plain, parts_of(annotation))):
        return None
    try:
        return _adapter(annotation)
    except _UNUSABLE as error:
        if any(map(_is_stored_by_value, parts_of(annotation))):
            return None
        raise BadDefinition(
            f"{owner}: its result, {inspect.formatannotation(annotation)}, has no JSON form "
            f"({str(error).splitlines()[0]}); return numbers, texts, lists, dictionaries, dates, dataclasses or "
            "pydantic models."
        ) from error


def _return_annotation(func: Callable[..., Any]) -> Any:
    try:
        return typing.get_type_hints(func, include_extras=True).get("return")
    except (NameError, AttributeError, TypeError):  # a function with `@task` alone may have such annotations
        return None


def _adapter(annotation: Any) -> TypeAdapter[Any]:
    adapter: TypeAdapter[Any]
    try:
        adapter = TypeAdapter(annotation, config=_CONFIG)
    except PydanticUserError:  # a model, dataclass or TypedDict has a configuration of its own
        adapter = TypeAdapter(annotation)
    adapter.json_schema(mode="serialization")
    return adapter


@lru_cache(maxsize=256)
def _adapter_of(cls: type[Any]) -> TypeAdapter[Any] | None:
    """Return the adapter of a type that parameters may have, such as PurePath; None for any other."""
    with suppress(*_UNUSABLE):
        return _adapter(cls)
    return None


def _is_plain(part: Any) -> bool:
    return typing.get_origin(part) is not None or any(part is known for known in _PLAIN)


def _is_stored_by_value(part: Any) -> bool:
    """Return whether pydantic does not know a type whose values have a JSON form, such as NumPy's."""
    if not isinstance(part, type) or part in _PLAIN:
        return False
    return (
        part is Iterator or hasattr(part, "tolist") or issubclass(part, (str, int, float, list, tuple, dict))
    )


def json_text(value: Any, adapter: TypeAdapter[Any] | None) -> str:
    """Return a result as JSON text. Raise any exception if it has none: this calls the value's own methods."""
    if adapter is None:
        ready = to_jsonable_python(value, inf_nan_mode="constants", fallback=_other)
    else:
        ready = adapter.dump_python(value, mode="json", by_alias=True, warnings=False, fallback=_other)
    return _encode(ready)


def _other(value: Any) -> Any:
    """Return a simpler form of a value that pydantic does not recognise without an annotation."""
    if not callable(getattr(value, "tolist", None)):  # no array or scalar of NumPy
        cls: Any = type(value)
        adapter = _adapter_of(cls)
        return _django.default(value) if adapter is None else adapter.dump_python(value, mode="json")
    is_time = getattr(getattr(value, "dtype", None), "kind", "") == "M"  # else nanoseconds become a number
    return (value.astype(str) if is_time else value).tolist()
