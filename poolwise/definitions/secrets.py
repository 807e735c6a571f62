"""Secret parameters: encrypted from validation until the body is called, so that no page, export or message shows them.

Fernet (AES and HMAC) with a key derived from SECRET_KEY; SECRET_KEY_FALLBACKS still decrypt.
"""

import functools
import hashlib
import json
from base64 import urlsafe_b64encode
from typing import TYPE_CHECKING, Any

from django.conf import settings

from poolwise.support import SECRET_MARK, InvalidParameters

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet


class Secret:
    """Marks a parameter whose value only the body may see: `token: Annotated[str, Secret()]`."""


def is_mark(mark: object) -> bool:
    """Return whether a part of an annotation marks a secret: `Secret()` or `Secret`."""
    return isinstance(mark, Secret) or mark is Secret


def hide(owner: str, name: str, value: str) -> dict[str, str]:
    """Return a secret encrypted; it can be decrypted only for this parameter of this definition."""
    token = _fernet().encrypt(json.dumps([owner, name, value]).encode())
    return {SECRET_MARK: token.decode()}


def is_hidden(value: object) -> bool:
    """Return whether a value is an encrypted secret."""
    return isinstance(value, dict) and value.keys() == {SECRET_MARK}


def reveal(owner: str, name: str, value: Any) -> Any:
    """Return a secret decrypted, any other value as it is. Raise InvalidParameters if it cannot be decrypted."""
    if not is_hidden(value):
        return value
    from cryptography.fernet import InvalidToken  # few workers ever see a secret

    try:
        parts = json.loads(_fernet().decrypt(str(value[SECRET_MARK]).encode()))
    except (InvalidToken, ValueError):
        parts = None
    if not isinstance(parts, list) or parts[:2] != [owner, name]:
        raise InvalidParameters({name: "This secret can no longer be decrypted: enter it again."})
    return parts[2]


def reveal_or_keep(owner: str, name: str, value: Any) -> Any:
    """Return a secret decrypted if possible, any other value as it is."""
    try:
        return reveal(owner, name, value)
    except InvalidParameters:
        return value


def _fernet() -> "MultiFernet":
    return _fernet_of((settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS))


@functools.lru_cache(maxsize=4)
def _fernet_of(keys: tuple[str, ...]) -> "MultiFernet":
    from cryptography.fernet import Fernet, MultiFernet

    digests = (hashlib.sha256(f"poolwise.secret\0{key}".encode()).digest() for key in keys)
    return MultiFernet([Fernet(urlsafe_b64encode(digest)) for digest in digests])
