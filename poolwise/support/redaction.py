"""Dots in the place of secrets, in a text and in a JSON text, which stays JSON."""

import json
import re
from collections.abc import Iterable

REDACTED = "••••••"
#: A secret that is shorter would be found in every other word.
_MIN_SECRET_CHARS = 4
#: What JSON is made of besides its punctuation: a string, or a number, true, false, null.
_JSON_SCALAR = re.compile(r'"(?:[^"\\]|\\.)*"|[^\s\[\]{},:"]+')


def redacted(text: str, secrets: Iterable[str]) -> str:
    """Return a text with dots in the place of secrets, also of such as JSON or repr would write them."""
    return _dotted(text, _spellings(secrets))


def redacted_json(text: str, secrets: Iterable[str]) -> str:
    """Return a JSON text whose strings are redacted; a number or literal that holds a secret becomes dots as a whole.

    The text is as `json.dumps` writes it, in ASCII.
    """
    # Token by token, since a value may be nested deeper than Python recurses.
    spellings = _spellings(secrets)
    if not any(json.dumps(spelled)[1:-1] in text for spelled in spellings):
        return text
    return _JSON_SCALAR.sub(lambda found: _redacted_scalar(found[0], spellings), text)


def _redacted_scalar(scalar: str, spellings: Iterable[str]) -> str:
    if not scalar.startswith('"'):
        return f'"{REDACTED}"' if any(spelled in scalar for spelled in spellings) else scalar
    value = json.loads(scalar)
    dotted = _dotted(value, spellings)
    return scalar if dotted == value else json.dumps(dotted, ensure_ascii=False)


def _dotted(text: str, spellings: Iterable[str]) -> str:
    for spelled in spellings:
        text = text.replace(spelled, REDACTED)
    return text


def _spellings(secrets: Iterable[str]) -> list[str]:
    """Return how secrets may be written, the longest first, so that none is covered only in part."""
    found: set[str] = set()
    for secret in secrets:
        if len(secret) >= _MIN_SECRET_CHARS:
            found |= {secret, repr(secret)[1:-1], ascii(secret)[1:-1]}
            found |= {json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
    return sorted(found, key=len, reverse=True)
