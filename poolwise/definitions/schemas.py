"""Read a JSON schema: which types and values it allows."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

#: The format of an exact number.
DECIMAL = "decimal"
_TYPES: Mapping[type, str] = {
    bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object",
}  # fmt: skip


class Schema(GenerateJsonSchema):
    """JSON schemas that mark exact numbers, which pydantic describes as a number or a string."""

    def decimal_schema(self, schema: Any) -> dict[str, Any]:
        """Return pydantic's schema with a format at its string branch."""
        described = super().decimal_schema(schema)
        for branch in described.get("anyOf", ()):
            if branch["type"] == "string":
                branch["format"] = DECIMAL
        return described


def branches_of(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield a schema for each allowed type, references resolved."""
    waiting, seen = [schema], set()
    while waiting:
        branch = waiting.pop(0)
        if (name := branch.get("$ref", "").rsplit("/", 1)[-1]) and name not in seen:
            seen.add(name)
            waiting.insert(0, definitions[name])
        elif inner := [*branch.get("anyOf", ()), *branch.get("oneOf", ())]:
            waiting = inner + waiting
        elif not name:
            yield branch


def without_null(branches: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the branches that are not null; an exact number counts as one branch."""
    non_null = [branch for branch in branches if branch.get("type") != "null"]
    decimals = [branch for branch in non_null if branch.get("format") == DECIMAL]
    mark = {"format": DECIMAL} if decimals else {}
    return [
        {**branch, **mark} if branch.get("type") == "number" else branch
        for branch in non_null
        if branch not in decimals
    ]


def choices_of(schema: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return the values of a Literal or an Enum; none if other values are allowed."""
    return (schema["const"],) if "const" in schema else tuple(schema.get("enum", ()))


def types_of(schema: Mapping[str, Any]) -> list[str]:
    """Return the JSON types of a branch; `any` if it names none."""
    if "type" in schema:
        return [schema["type"]]
    return [type_of(choice) for choice in choices_of(schema)] or ["any"]


def type_of(value: Any) -> str:
    """Return the JSON type of a value."""
    return next((name for kind, name in _TYPES.items() if isinstance(value, kind)), "null")


def lines_of(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the type of the item on each line of an input, the last for all further lines; none if that cannot work."""
    places = [*schema.get("prefixItems", ()), *([schema["items"]] if "items" in schema else ())]
    types = [_line(list(branches_of(place, definitions))) for place in places]
    return tuple(types) if all(types) else ()


def _line(branches: list[Mapping[str, Any]]) -> str:
    """Return the type of an item that can be entered on a line, or "": null cannot."""
    non_null = without_null(branches)
    if len(non_null) != 1 or any(branch.get("type") == "null" for branch in branches):
        return ""
    kind = DECIMAL if non_null[0].get("format") == DECIMAL else non_null[0].get("type", "")
    return kind if kind in ("string", "integer", "number", DECIMAL) else ""
