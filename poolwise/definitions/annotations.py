"""What an annotation is made of: unions, containers, `Annotated`, aliases, and the fields of classes, however nested."""

import dataclasses
import types
import typing
from collections.abc import Iterator
from contextlib import suppress
from typing import Annotated, Any

from pydantic import BaseModel

_UNIONS = (typing.Union, types.UnionType)


def marks_of(annotation: Any) -> tuple[Any, ...]:
    """Return what `Annotated` says of a value as a whole, within an alias and beside `None` too."""
    if isinstance(annotation, typing.TypeAliasType):
        return marks_of(annotation.__value__)
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        return (*marks_of(arguments[0]), *arguments[1:])
    branches = [one for one in arguments if one is not types.NoneType]
    return marks_of(branches[0]) if origin in _UNIONS and len(branches) == 1 else ()


def parts_of(annotation: Any) -> Iterator[Any]:
    """Yield an annotation and all that is within it, types and marks, each once."""
    seen: dict[int, Any] = {}  # the parts themselves as well, so that no id is given twice
    waiting = [annotation]
    while waiting:
        part = waiting.pop()
        if id(part) not in seen:
            seen[id(part)] = part
            yield part
            waiting += _within(part)


def _within(part: Any) -> list[Any]:
    if isinstance(part, typing.TypeAliasType):
        return [part.__value__]
    if isinstance(part, typing.NewType):
        return [part.__supertype__]
    if isinstance(part, type):
        return _of_fields(part)
    return [typing.get_origin(part), *typing.get_args(part)]


def _of_fields(cls: type[Any]) -> list[Any]:
    if issubclass(cls, BaseModel):
        fields = cls.model_fields.values()
        return [part for field in fields for part in (field.annotation, *field.metadata)]
    if dataclasses.is_dataclass(cls) or typing.is_typeddict(cls) or hasattr(cls, "_field_defaults"):
        with suppress(NameError, AttributeError, TypeError):  # such a class pydantic refuses
            return list(typing.get_type_hints(cls, include_extras=True).values())
    return []


def bare(annotation: Any) -> Any:
    """Return a type without `Annotated`, inside lists too, and what an alias stands for."""
    holder = types.SimpleNamespace(__annotations__={"it": annotation})
    found = typing.get_type_hints(holder)["it"]
    return bare(found.__value__) if isinstance(found, typing.TypeAliasType) else found
