"""Addresses of Redis as redis-py and Celery spell them, and what in one would be misread.

They differ for a Unix socket, redis-py's `unix://` and Celery's `redis+socket://`, and for TLS: Celery verifies no
certificate unless the address asks for it, and has names of its own for whether to.
"""

import re
from urllib.parse import parse_qsl, urlencode, urlsplit

#: The schemes that redis-py supports.
REDIS_SCHEMES = ("redis", "rediss", "unix")
_WITH_PORT = ("redis", "rediss", "amqp", "amqps", "pyamqp")
_OURS, _CELERYS = "unix://", "redis+socket://"
_DATABASE = {_OURS: "db", _CELERYS: "virtual_host"}
_TLS = "rediss://"
_VERIFY = "ssl_cert_reqs"
#: Whether to verify the server's certificate, as redis-py and Celery both take it.
VERIFICATIONS = ("required", "optional", "none")


def for_redis(address: str) -> str:
    """Return the address in redis-py's spelling; only that of a Unix socket and of TLS may change."""
    return _verifying(_respelled(address, _CELERYS, _OURS))


def for_broker(address: str) -> str:
    """Return the address in Celery's spelling; only that of a Unix socket and of TLS may change."""
    return _verifying(_respelled(address, _OURS, _CELERYS))


def scheme_of(address: str) -> str:
    """Return the scheme of an address; `…` if it might be a part of a password."""
    scheme = address.partition("://")[0].partition("+")[0][:40]
    return "…" if "@" in scheme else scheme


def has_readable_port(address: str) -> bool:
    """Return whether the port is a number or absent, for each address of a list separated by `;`."""
    try:
        # Addresses of other schemes need not be valid URLs.
        _ = [urlsplit(part).port for part in address.split(";") if scheme_of(part) in _WITH_PORT]
    except ValueError:
        return False
    return True


def has_split_password(address: str) -> bool:
    """Return whether a `/`, `?` or `#` in a password ends the host before its `@`, for each address of a list."""
    return any(_is_split(part) for part in address.split(";"))


def _is_split(address: str) -> bool:
    scheme, _, rest = address.partition("://")
    host = re.split("[/?#]", rest, maxsplit=1)[0]
    before, at, _ = rest[len(host) :].partition("@")
    return scheme in _WITH_PORT and "@" not in host and bool(at) and "=" not in before


def bad_verification(address: str) -> str | None:
    """Return the value of `ssl_cert_reqs` that nothing can use, or None."""
    value = dict(parse_qsl(address.partition("?")[2])).get(_VERIFY, "required")
    return value if address.startswith(_TLS) and value not in VERIFICATIONS else None


def _verifying(address: str) -> str:
    return ";".join(_one_verifying(part) for part in address.split(";"))


def _one_verifying(address: str) -> str:
    if not address.startswith(_TLS):
        return address
    start, _, query = address.partition("?")
    options = dict(parse_qsl(query))
    asked = options.get(_VERIFY, "required")
    options[_VERIFY] = asked.removeprefix("CERT_").lower() if asked.startswith("CERT_") else asked
    return f"{start}?{urlencode(options)}"


def _respelled(address: str, known: str, wanted: str) -> str:
    if not address.startswith(known):
        return address
    path, _, query = address.removeprefix(known).partition("?")
    names = {_DATABASE[known]: _DATABASE[wanted]}
    spelled = [(names.get(name, name), value) for name, value in parse_qsl(query)]
    return wanted + path + (f"?{urlencode(spelled)}" if spelled else "")
