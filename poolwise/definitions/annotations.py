"""The parts of an annotation: unions, containers, `Annotated`, aliases and the fields of classes, at any depth."""

import dataclasses
import types
import typing
from collections.abc import Iterator
from contextlib import suppress
from typing import Annotated, Any

from pydantic import BaseModel

_UNIONS = (typing.Union, types.UnionType)


def marks_of(annotation: Any) -> tuple[Any, ...]:
    """Return the metadata of `Annotated` for a value as a whole, also within an alias or beside `None`."""
    if isinstance(annotation, typing.TypeAliasType):
        return marks_of(annotation.__value__)
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        return (*marks_of(arguments[0]), *arguments[1:])
    branches = [argument for argument in arguments if argument is not types.NoneType]
    return marks_of(branches[0]) if origin in _UNIONS and len(branches) == 1 else ()


def parts_of(annotation: Any) -> Iterator[Any]:
    """Yield an annotation and every type and mark within it, each once."""
    seen: dict[int, Any] = {}  # keeps the parts alive, so that no id is reused
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
        with suppress(NameError, AttributeError, TypeError):  # pydantic refuses such a class
            return list(typing.get_type_hints(cls, include_extras=True).values())
    return []


def bare(annotation: Any) -> Any:
    """Return a type without `Annotated`, also within lists, with aliases resolved."""
    holder = types.SimpleNamespace(__annotations__={"it": annotation})
    hint = typing.get_type_hints(holder)["it"]
    return bare(hint.__value__) if isinstance(hint, typing.TypeAliasType) else hint
