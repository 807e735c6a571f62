"""Durations, shares and parameters as text, for every page and the admin."""

import json
import re
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from poolwise.support.redaction import REDACTED

_MAX_SHOWN_PARAMETERS_CHARS = 160
#: The only key of the object that replaces a secret parameter in stored parameters.
SECRET_MARK = "$secret"  # noqa: S105 - a key, no secret
#: PostgreSQL stores no NUL; half a surrogate pair, as from an undecodable file name, is no UTF-8.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def storable(text: str) -> str:
    """Return the text with every character replaced that some database or page cannot store."""
    return _UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", text)


def is_storable(text: str) -> bool:
    """Return whether every database and every page can store the text unchanged."""
    return _UNSTORABLE.search(text) is None


def as_uuid(text: str) -> UUID | None:
    """Return the text as a UUID, or None if it is not one."""
    try:
        return UUID(text)
    except ValueError:
        return None


def seconds(value: float | None) -> str:
    """Return a duration in a suitable unit: 0.4 ms, 12 ms, 1.25 s, 2 min 05 s, 1 h 02 min."""
    if value is None:
        return "–"
    if value < 0.01:
        return f"{value * 1000:.1f} ms"
    if value < 0.9995:
        return f"{value * 1000:.0f} ms"
    if value < 59.995:
        return f"{value:.2f} s"
    whole = round(value)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def percent(share: float | None) -> str:
    """Return a share of 1 as a percentage."""
    if share is None:
        return "–"
    return f"{share * 100:.1f} %" if 0 < share < 0.0995 else f"{share * 100:.0f} %"


def megabytes(size_bytes: float) -> str:
    """Return a size in MB with two digits at least: 0.63 MB, 45 MB."""
    size = size_bytes / 1_000_000
    return f"{size:.0f} MB" if size >= 10 else f"{size:.2g} MB"


def rate(per_s: float) -> str:
    """Return a rate with three digits: 0.512, 74.1, 1,890."""
    return f"{per_s:.3g}" if per_s < 999.5 else f"{float(f'{per_s:.3g}'):,.0f}"


def count(number: int, word: str) -> str:
    """Return a number of things: 1 slot, 2 slots."""
    return f"{number} {word}" + ("" if number == 1 else "s")


def shown(value: Any) -> Any:
    """Return a stored parameter for display: dots replace a secret."""
    return REDACTED if isinstance(value, dict) and value.keys() == {SECRET_MARK} else value


def parameters(params: Mapping[str, Any]) -> str:
    """Return parameters as one short line."""
    text = ", ".join(
        f"{name}={json.dumps(shown(value), ensure_ascii=False)}" for name, value in params.items()
    )
    return text if len(text) <= _MAX_SHOWN_PARAMETERS_CHARS else text[: _MAX_SHOWN_PARAMETERS_CHARS - 1] + "…"


def pretty(value: Any) -> str:
    """Return a value as indented JSON."""
    return json.dumps(value, ensure_ascii=False, indent=2)


def parameter_value(value: Any) -> str:
    """Return one parameter as a person would type it: a list has one item per line."""
    value = shown(value)
    if isinstance(value, list) and value and all(isinstance(item, str | int | float) for item in value):
        return "\n".join(map(str, value))
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def as_written(text: str) -> str:
    """Return the text of a number that Python reads as people do. Raise ValueError: it would read 1_000 as 1000."""
    if "_" in text:
        raise ValueError(f"{text[:40]!r} is not a number")
    return text


def times_range(low: float | None, high: float | None) -> str:
    """Return an interval of ratios: 1.04× to 1.21×; empty if an end is not known."""
    return "" if low is None or high is None else f"{times(low)} to {times(high)}"


def times(ratio: float | None) -> str:
    """Return a ratio with three significant digits at most: 9.6×, 1.04×, 120×."""
    if ratio is None:
        return "–"
    digits = 0 if ratio >= 99.5 else 1 if ratio >= 1.95 else 2
    return f"{ratio:.{digits}f}×"
