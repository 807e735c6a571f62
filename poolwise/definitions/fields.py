"""The parameters of a definition as a form or a page shows them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel

from poolwise.definitions.annotations import bare, marks_of
from poolwise.definitions.parameters import humanised, schema_of
from poolwise.definitions.schemas import branches_of, choices_of, lines_of, types_of, without_null
from poolwise.definitions.secrets import is_mark


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterField:
    """One parameter as a form or a page shows it; only `Definition.validate` decides what is valid."""

    name: str
    label: str
    annotation: Any
    """The Python type, without limits."""
    type: str
    """JSON type: integer, number, string, boolean, array, object, or any if several are allowed."""
    types: tuple[str, ...] = ()
    """Every allowed JSON type but null; only `any` if all are allowed."""
    format: str = ""
    """JSON Schema's format of a string: date, date-time, duration, uuid and so on; `decimal` for an exact number."""
    required: bool
    nullable: bool = False
    default: Any = None
    """JSON-ready; None when required."""
    help: str = ""
    minimum: float | None = None
    maximum: float | None = None
    min_length: int | None = None
    """Shortest text or array."""
    max_length: int | None = None
    choices: tuple[Any, ...] = ()
    lines: tuple[str, ...] = ()
    """The types of the items of an array that can be entered one per line; the last is for all further items."""
    is_secret: bool = False


def describe(model: type[BaseModel]) -> tuple[ParameterField, ...]:
    """Return the fields of a form, in the order of the parameters."""
    schema = schema_of(model)
    definitions = schema.get("$defs", {})
    described = []
    for name, field in model.model_fields.items():
        shown = _field(
            field.alias or name, field.annotation, field.is_required(), schema["properties"], definitions
        )
        is_secret = any(map(is_mark, (*field.metadata, *marks_of(field.annotation))))
        described.append(replace(shown, is_secret=True, default=None) if is_secret else shown)
    return tuple(described)


def _field(
    name: str, annotation: Any, required: bool, properties: Mapping[str, Any], definitions: Mapping[str, Any]
) -> ParameterField:
    outer = properties[name]
    branches = list(branches_of(outer, definitions))
    several = without_null(branches)
    inner = several[0] if len(several) == 1 else {}
    low, high = inner.get("exclusiveMinimum"), inner.get("exclusiveMaximum")
    step = 1 if inner.get("type") == "integer" else 0
    return ParameterField(
        name=name,
        label=outer.get("title", humanised(name)),
        annotation=bare(annotation),
        type=inner.get("type", "any"),
        types=tuple(dict.fromkeys(name for branch in several for name in types_of(branch))),
        format=inner.get("format", ""),
        required=required,
        nullable=any({"any", "null"} & {*types_of(branch)} for branch in branches),
        default=outer.get("default"),
        help=outer.get("description", ""),
        minimum=inner.get("minimum", None if low is None else low + step),
        maximum=inner.get("maximum", None if high is None else high - step),
        min_length=inner.get("minLength", inner.get("minItems")),
        max_length=inner.get("maxLength", inner.get("maxItems")),
        choices=choices_of(inner),
        lines=lines_of(inner, definitions),
    )
