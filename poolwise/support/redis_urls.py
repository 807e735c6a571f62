"""The two spellings of a Redis behind a Unix socket: redis-py's `unix://` and Celery's `redis+socket://`."""

from urllib.parse import parse_qsl, urlencode, urlsplit

#: The schemes that redis-py supports.
REDIS_SCHEMES = ("redis", "rediss", "unix")
_WITH_PORT = ("redis", "rediss", "amqp", "amqps", "pyamqp")
_OURS, _CELERYS = "unix://", "redis+socket://"
_DATABASE = {_OURS: "db", _CELERYS: "virtual_host"}


def for_redis(address: str) -> str:
    """Return the address in redis-py's spelling; only that of a Unix socket changes."""
    return _respelled(address, _CELERYS, _OURS)


def for_broker(address: str) -> str:
    """Return the address in Celery's spelling; only that of a Unix socket changes."""
    return _respelled(address, _OURS, _CELERYS)


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


def _respelled(address: str, known: str, wanted: str) -> str:
    if not address.startswith(known):
        return address
    path, _, query = address.removeprefix(known).partition("?")
    names = {_DATABASE[known]: _DATABASE[wanted]}
    spelled = [(names.get(name, name), value) for name, value in parse_qsl(query)]
    return wanted + path + (f"?{urlencode(spelled)}" if spelled else "")
