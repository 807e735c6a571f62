"""Parse the text of a parameter: from a command line, or from an input for values other than strings."""

import json
from typing import Any

from poolwise.definitions.fields import ParameterField
from poolwise.definitions.schemas import type_of

#: Formats for which pydantic also accepts a number: seconds, or seconds since 1970.
_TIMES = ("date", "date-time", "time", "duration")


class AsWritten(float):
    """A float that keeps its text, so that a Decimal parameter gets every digit."""

    def __new__(cls, text: str) -> "AsWritten":
        """Parse a number. Raise ValueError."""
        number = super().__new__(cls, text)
        number.text = text
        return number

    text: str

    def __str__(self) -> str:
        return self.text


class Decoder(json.JSONDecoder):
    """Decodes JSON so that no number loses digits."""

    def __init__(self) -> None:
        super().__init__(parse_float=AsWritten)


def value_of(parameter: ParameterField | None, text: str) -> Any:
    """Return the text as JSON if the parameter may have that value, else the text as it is.

    A quoted JSON string is always a string.
    """
    try:
        value = json.loads(text, cls=Decoder)
    except (ValueError, RecursionError):
        return text
    return value if parameter is None or _may_be(parameter, value) else text


def _may_be(parameter: ParameterField, value: Any) -> bool:
    json_type = type_of(value)
    if json_type in ("integer", "number") and (parameter.format in _TIMES or "number" in parameter.types):
        return True
    if json_type == "null":
        return parameter.nullable
    # If no string is allowed, validation reports what is wrong with the value.
    return json_type in parameter.types or json_type == "string" or "string" not in parameter.types
