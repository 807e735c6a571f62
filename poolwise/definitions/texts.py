"""What a text stands for as the value of a parameter: on a command line, and in inputs for more than plain texts."""

import json
from typing import Any

from poolwise.definitions.fields import ParameterField
from poolwise.definitions.schemas import type_of

#: Texts for which pydantic takes a number as well: seconds, or seconds since 1970.
_TIMES = ("date", "date-time", "time", "duration")


class AsWritten(float):
    """A number that knows how it was written, for a Decimal; to all others it is the float."""

    def __new__(cls, text: str) -> "AsWritten":
        """Return the number that a text is. Raise ValueError."""
        number = super().__new__(cls, text)
        number.text = text
        return number

    text: str

    def __str__(self) -> str:
        return self.text


class Decoder(json.JSONDecoder):
    """Reads JSON so that no number loses digits."""

    def __init__(self) -> None:
        super().__init__(parse_float=AsWritten)


def value_of(parameter: ParameterField | None, text: str) -> Any:
    """Return what a text stands for: JSON where the parameter may be what it says, else the text as it is.

    In quotes, as JSON has it, any text is a text.
    """
    try:
        value = json.loads(text, cls=Decoder)
    except (ValueError, RecursionError):
        return text
    return value if parameter is None or _may_be(parameter, value) else text


def _may_be(parameter: ParameterField, value: Any) -> bool:
    found = type_of(value)
    if found in ("integer", "number") and (parameter.format in _TIMES or "number" in parameter.types):
        return True
    if found == "null":
        return parameter.nullable
    # Where no text is possible, the definition says what is wrong with the value.
    return found in parameter.types or found == "string" or "string" not in parameter.types
