"""One Redis client per channel: stock kombu builds one for each command, which takes as long as the command."""

from collections.abc import Callable
from typing import Any

import redis

from poolwise.support import leaving
from poolwise.transport.unacked import Unacked
from poolwise.transport.upstream import stock


class ClientChannel(stock.Channel):
    """A channel that keeps its clients for as long as their connection pool."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._kept: dict[str, tuple[Any, Any]] = {}
        super().__init__(*args, **kwargs)

    def _keep(self, name: str, build: Callable[[], Any]) -> Any:
        pool, kept = self._kept.get(name, (None, None))
        if pool is not self.pool:  # closing a channel, and forking, drop the pool
            pool, kept = self._kept[name] = (self.pool, build())
        return kept

    def _connparams(self, asynchronous: bool = False) -> Any:
        parameters = super()._connparams(asynchronous=asynchronous)
        return {**parameters, "connection_class": leaving(parameters["connection_class"])}

    def _create_client(self, asynchronous: bool = False) -> Any:
        if asynchronous:
            return super()._create_client(asynchronous=True)
        return self._keep("client", super()._create_client)

    @property
    def unacked(self) -> Unacked:
        """Return the keys of unacknowledged messages."""
        unacked: Unacked = self._keep("unacked", self._make_unacked)
        return unacked

    def _make_unacked(self) -> Unacked:
        prefix = self.global_keyprefix
        client = redis.Redis(connection_pool=self.pool)
        return Unacked(client, prefix + self.unacked_key, prefix + self.unacked_index_key)
