"""Replace secrets by dots, in plain text and in JSON, which stays valid JSON."""

import json
import re
from collections.abc import Iterable

REDACTED = "••••••"
#: A shorter secret would match parts of ordinary words.
_MIN_SECRET_CHARS = 4
#: What JSON is made of besides its punctuation: a string, or a number, true, false, null.
_JSON_SCALAR = re.compile(r'"(?:[^"\\]|\\.)*"|[^\s\[\]{},:"]+')


def redacted(text: str, secrets: Iterable[str]) -> str:
    """Return the text with dots in place of secrets, also where JSON or repr has escaped them."""
    return _dotted(text, _spellings(secrets))


def redacted_json(text: str, secrets: Iterable[str]) -> str:
    """Return a JSON text whose strings are redacted; a number or literal that holds a secret becomes dots as a whole.

    The text must be ASCII, as `json.dumps` writes it.
    """
    # By tokens, since a value may be nested deeper than Python's recursion limit.
    spellings = _spellings(secrets)
    if not any(json.dumps(spelled)[1:-1] in text for spelled in spellings):
        return text
    return _JSON_SCALAR.sub(lambda match: _redacted_scalar(match[0], spellings), text)


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
    """Return the ways to write the secrets, the longest first, so that none is replaced only in part."""
    spellings: set[str] = set()
    for secret in secrets:
        if len(secret) >= _MIN_SECRET_CHARS:
            spellings |= {secret, repr(secret)[1:-1], ascii(secret)[1:-1]}
            spellings |= {json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
    return sorted(spellings, key=len, reverse=True)
