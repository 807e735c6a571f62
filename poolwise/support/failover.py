"""Connections that close when their Redis becomes a replica, so that the next one reaches the new primary.

redis-py keeps a connection after an error reply. Behind a DNS name, a virtual address or a proxy, the former primary may
stay reachable as a replica: a connection that is kept would get an error for each write, for ever.
"""

from typing import Any

import redis
from redis.connection import parse_url
from redis.exceptions import MasterDownError, ReadOnlyError

from poolwise.support.inherited import note_connection

#: The error replies of a replica: it is read-only, or it has lost its primary and serves no stale data.
_REPLICA_ERRORS = (ReadOnlyError, MasterDownError)
#: Before version 7, Redis reports the error of a script in the text of another error.
_IN_A_SCRIPT = "-READONLY"


class _Leaving:
    """A mixin for redis-py's connection classes: the connection closes once its Redis replies as a replica."""

    retry: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # redis-py closes the connection after each error that it supports for retries, even with no retry left.
        self.retry.update_supported_errors(_REPLICA_ERRORS)
        note_connection(self)

    def read_response(self, *args: Any, **kwargs: Any) -> Any:
        """Return the reply. Raise redis-py's errors, ReadOnlyError for a write that a replica refused."""
        try:
            return super().read_response(*args, **kwargs)  # type: ignore[misc]
        except redis.ResponseError as error:
            if _IN_A_SCRIPT in str(error) and not isinstance(error, ReadOnlyError):
                raise ReadOnlyError(str(error)) from error
            raise


def leaving(kind: type) -> type:
    """Return a subclass of a connection class whose connections close when their Redis becomes a replica."""
    return type(kind.__name__, (_Leaving, kind), {})


def connection_class(address: str) -> type:
    """Return that class for an address in redis-py's spelling. Raise ValueError for any other address."""
    options = parse_url(address)  # type: ignore[no-untyped-call]
    return leaving(options.get("connection_class", redis.Connection))
