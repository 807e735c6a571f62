"""Arguments that several commands take."""

import json
from typing import Any

from jobs.definitions.texts import Decoder
from jobs.errors import PoolwiseError


def parameter(text: str) -> tuple[str, Any]:
    """Return the name and the value of `NAME=VALUE`; the value is JSON, or else text. Raise PoolwiseError."""
    name, separator, value = text.partition("=")
    if not separator:
        raise PoolwiseError(f"--param takes NAME=VALUE, not {text!r}.")
    return name, value_of(value)


def value_of(text: str) -> Any:
    """Return a value that was given as JSON, or else as text."""
    try:
        return json.loads(text, cls=Decoder)
    except ValueError:
        return text
