"""Arguments that several commands take."""

import json
from typing import Any

from jobs.errors import PoolwiseError


def parameter(text: str) -> tuple[str, Any]:
    """Return the name and the value of `NAME=VALUE`; the value is JSON, or else text. Raise PoolwiseError."""
    name, separator, value = text.partition("=")
    if not separator:
        raise PoolwiseError(f"--param takes NAME=VALUE, not {text!r}.")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
