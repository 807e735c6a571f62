"""Connections that leave a Redis which has become a replica, so that the next one leads to the new primary.

redis-py keeps a connection over an error that Redis answers with. Where a name, a virtual address or a proxy leads to
the primary, the old one may stay reachable as a replica: whoever kept the connection would be refused for ever.
"""

from typing import Any

import redis
from redis.connection import parse_url
from redis.exceptions import MasterDownError, ReadOnlyError

#: What a replica answers: it takes no writes, or it has lost its primary and gives no old data.
_OF_A_REPLICA = (ReadOnlyError, MasterDownError)
#: Before version 7, Redis hides what a script was refused in the text of another error.
_IN_A_SCRIPT = "-READONLY"


class _Leaving:
    """Mixed into a class of redis-py's connections: it is closed once its Redis says that it is a replica."""

    retry: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # What may be tried again is what redis-py closes the connection after, however often it does try again.
        self.retry.update_supported_errors(_OF_A_REPLICA)

    def read_response(self, *args: Any, **kwargs: Any) -> Any:
        """Return the answer. Raise what redis-py raises, ReadOnlyError for any refusal by a replica."""
        try:
            return super().read_response(*args, **kwargs)  # type: ignore[misc]
        except redis.ResponseError as error:
            if _IN_A_SCRIPT in str(error) and not isinstance(error, ReadOnlyError):
                raise ReadOnlyError(str(error)) from error
            raise


def leaving(kind: type) -> type:
    """Return a class of connections like `kind` that leave a Redis which has become a replica."""
    return type(kind.__name__, (_Leaving, kind), {})


def connection_class(address: str) -> type:
    """Return the class of such connections to an address as redis-py takes it. Raise ValueError for any other."""
    options = parse_url(address)  # type: ignore[no-untyped-call]
    return leaving(options.get("connection_class", redis.Connection))
