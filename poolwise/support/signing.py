"""Seals: proof that a text in the broker or on the stream was written by this installation.

HMAC-SHA256 with a key derived from SECRET_KEY; texts sealed under SECRET_KEY_FALLBACKS are still taken, so that a key
can be changed while messages wait.
"""

import functools
import hashlib
import hmac
from base64 import urlsafe_b64encode
from collections.abc import Iterator

from django.conf import settings

#: What a seal is for: one made for a message is none for a report. The last two tell submissions apart whose
#: parameters may be secret, so that nobody who reads the ledger can try out what they were.
MESSAGE, REPORT, UNIQUE, FORM = "message", "report", "unique", "form"


def sign(purpose: str, text: str) -> str:
    """Return the seal of a text: 43 characters."""
    return next(signatures(purpose, text))


def signatures(purpose: str, text: str) -> Iterator[str]:
    """Yield the seal of a text, and then those that it had under the earlier keys."""
    for secret in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS):
        yield _hmac(_key(purpose, secret), text)


def is_signed(purpose: str, text: str, given: object) -> bool:
    """Return whether `given` is the seal of the text, under the present key or an earlier one."""
    if not isinstance(given, str) or not given.isascii():
        return False
    return any(hmac.compare_digest(own, given) for own in signatures(purpose, text))


def _hmac(key: bytes, text: str) -> str:
    # Half a surrogate pair is no UTF-8, and a text that came as JSON may hold one.
    digest = hmac.digest(key, text.encode(errors="surrogatepass"), "sha256")
    return urlsafe_b64encode(digest)[:-1].decode()


@functools.lru_cache(maxsize=32)
def _key(purpose: str, secret: str) -> bytes:
    return hashlib.sha256(f"poolwise.{purpose}\0{secret}".encode()).digest()
