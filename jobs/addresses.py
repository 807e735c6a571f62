"""The two spellings of a Redis behind a Unix socket: redis-py's `unix://` and Celery's `redis+socket://`."""

from urllib.parse import parse_qsl, urlencode

#: What redis-py connects to.
REDIS_SCHEMES = ("redis", "rediss", "unix")
_OURS, _CELERYS = "unix://", "redis+socket://"
_DATABASE = {_OURS: "db", _CELERYS: "virtual_host"}


def for_redis(address: str) -> str:
    """Return the address as redis-py takes it; of anything but a Unix socket, as it is."""
    return _respelled(address, _CELERYS, _OURS)


def for_broker(address: str) -> str:
    """Return the address as Celery takes it; of anything but a Unix socket, as it is."""
    return _respelled(address, _OURS, _CELERYS)


def _respelled(address: str, known: str, wanted: str) -> str:
    if not address.startswith(known):
        return address
    path, _, query = address.removeprefix(known).partition("?")
    names = {_DATABASE[known]: _DATABASE[wanted]}
    told = [(names.get(name, name), value) for name, value in parse_qsl(query)]
    return wanted + path + (f"?{urlencode(told)}" if told else "")
