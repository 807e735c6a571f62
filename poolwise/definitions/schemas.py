"""How a JSON schema reads: what a value may be."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

#: The format that stands at an exact number.
DECIMAL = "decimal"
_TYPES: Mapping[type, str] = {
    bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object",
}  # fmt: skip


class Schema(GenerateJsonSchema):
    """JSON schemas that tell an exact number from what may be a float or a text."""

    def decimal_schema(self, schema: Any) -> dict[str, Any]:
        """Return pydantic's, which takes a number or a text, with a format at the text."""
        found = super().decimal_schema(schema)
        for branch in found.get("anyOf", ()):
            if branch["type"] == "string":
                branch["format"] = DECIMAL
        return found


def branches_of(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield a schema for each type that a value may have, references followed."""
    waiting, seen = [schema], set()
    while waiting:
        one = waiting.pop(0)
        if (name := one.get("$ref", "").rsplit("/", 1)[-1]) and name not in seen:
            seen.add(name)
            waiting.insert(0, definitions[name])
        elif inner := [*one.get("anyOf", ()), *one.get("oneOf", ())]:
            waiting = inner + waiting
        elif not name:
            yield one


def without_null(branches: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the branches that are not null; an exact number is one of them, not a number and a text."""
    some = [branch for branch in branches if branch.get("type") != "null"]
    spelled = [branch for branch in some if branch.get("format") == DECIMAL]
    mark = {"format": DECIMAL} if spelled else {}
    return [
        {**branch, **mark} if branch.get("type") == "number" else branch
        for branch in some
        if branch not in spelled
    ]


def choices_of(schema: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return the values of a Literal or an Enum; none where others are possible."""
    return (schema["const"],) if "const" in schema else tuple(schema.get("enum", ()))


def types_of(schema: Mapping[str, Any]) -> list[str]:
    """Return the JSON types of one branch; `any` where it does not say."""
    if "type" in schema:
        return [schema["type"]]
    return [type_of(choice) for choice in choices_of(schema)] or ["any"]


def type_of(value: Any) -> str:
    """Return the JSON type of a value."""
    return next((name for kind, name in _TYPES.items() if isinstance(value, kind)), "null")


def lines_of(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the type of each line on which an item can be typed, the last for all further ones; none where it cannot."""
    places = [*schema.get("prefixItems", ()), *([schema["items"]] if "items" in schema else ())]
    found = [_line(list(branches_of(place, definitions))) for place in places]
    return tuple(found) if all(found) else ()


def _line(branches: list[Mapping[str, Any]]) -> str:
    """Return the type of an item that a line can hold, or nothing: null has no spelling there."""
    found = without_null(branches)
    if len(found) != 1 or any(branch.get("type") == "null" for branch in branches):
        return ""
    kind = DECIMAL if found[0].get("format") == DECIMAL else found[0].get("type", "")
    return kind if kind in ("string", "integer", "number", DECIMAL) else ""
