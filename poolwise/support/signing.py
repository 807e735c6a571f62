"""Signatures: they prove that this installation wrote a text in the broker or on the stream.

Keyed BLAKE2b with a key derived from SECRET_KEY. Signatures made with SECRET_KEY_FALLBACKS still verify, so that the key
can change while messages wait.
"""

import functools
import hashlib
import hmac
from collections.abc import Iterator

from django.conf import settings

#: Purposes: a signature made for a message is not valid for a report.
MESSAGE, REPORT, HEARTBEAT, CANCEL, COMMAND = "message", "report", "heartbeat", "cancel", "command"
#: These identify submissions whose parameters may be secret, so that a reader of the database cannot guess them by trial.
UNIQUE, FORM = "unique", "form"
_SIGNATURE_BYTES = 24


def sign(purpose: str, text: str) -> str:
    """Return the signature of a text: 48 characters."""
    return _signature(_key(purpose, settings.SECRET_KEY), text)


def signatures(purpose: str, text: str) -> Iterator[str]:
    """Yield the signature of a text with the present key, then those with the earlier keys."""
    for secret in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS):
        yield _signature(_key(purpose, secret), text)


def is_signed(purpose: str, text: str, given: object) -> bool:
    """Return whether `given` is a signature of the text, with the present key or an earlier one."""
    if not isinstance(given, str) or not given.isascii():
        return False
    return any(hmac.compare_digest(own, given) for own in signatures(purpose, text))


def signed(purpose: str, text: str) -> str:
    """Return a text with its signature and a space in front."""
    return f"{sign(purpose, text)} {text}"


def verified(purpose: str, text: str) -> str:
    """Return what `signed` was given. Raise ValueError if the signature is wrong or missing."""
    signature, _, rest = text.partition(" ")
    if not is_signed(purpose, rest, signature):
        raise ValueError(f"not a {purpose}: its signature is wrong or missing")
    return rest


def _signature(key: bytes, text: str) -> str:
    # HMAC would give up the interpreter's lock for each signature, so that other threads take it several times a job.
    # A text from JSON may contain half a surrogate pair, which UTF-8 cannot encode.
    data = text.encode("utf-8", "surrogatepass")
    return hashlib.blake2b(data, key=key, digest_size=_SIGNATURE_BYTES).hexdigest()


@functools.lru_cache(maxsize=32)
def _key(purpose: str, secret: str) -> bytes:
    return hashlib.sha256(f"poolwise.{purpose}\0{secret}".encode()).digest()
