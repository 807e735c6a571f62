"""The lease of a worker on its reserved messages, renewed while it lives, so that orphans are detected quickly.

An OS thread renews it, under gevent too, so that a computing job cannot stop it.
"""

from collections.abc import Callable
from typing import Any

import redis
from celery.utils.log import get_logger

from poolwise.support import original, start_native_thread
from poolwise.transport.redis_transport import Transport
from poolwise.transport.unacked import Unacked
from poolwise.transport.upstream import bootsteps

logger = get_logger(__name__)

#: A lease is renewed this many times in a visibility timeout.
RENEWALS = 4
MIN_INTERVAL_S = 0.2
RETRY_S = 1.0


class RenewUnacked(bootsteps.StartStopStep):
    """Renews the time stamps of the messages that this worker has reserved; does nothing on other brokers than Redis."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, c: Any, **kwargs: Any) -> None:
        self.timeout_s = 0.0
        self.is_running = False
        self.unacked: Unacked | None = None
        super().__init__(c, **kwargs)

    def start(self, c: Any) -> None:
        """Start the thread with the first connection; like running jobs, it survives that connection."""
        if self.is_running or not isinstance(c.connection.transport, Transport):
            return
        channel = c.task_consumer.channel
        self.timeout_s = float(channel.visibility_timeout)
        self.unacked = self._connect(channel)
        self.is_running = True
        start_native_thread(lambda: self._run(c.reserved_tags), "renew-unacked")

    def _connect(self, channel: Any) -> Unacked:
        wait_s = self.timeout_s / RENEWALS
        parameters = {**channel._connparams(), "socket_timeout": wait_s, "max_connections": 1}
        client = redis.Redis(connection_pool=redis.ConnectionPool(**parameters))
        return Unacked(client, channel.unacked.hash_key, channel.unacked.index_key)

    def shutdown(self, c: Any) -> None:
        """End the thread; even a stopping worker keeps its lease until here."""
        self.is_running = False

    def _run(self, reserved_tags: Callable[[], set[str]]) -> None:
        sleep = original("time", "sleep")
        interval_s = max(MIN_INTERVAL_S, self.timeout_s / RENEWALS)
        pause_s = interval_s
        while self.is_running:
            sleep(pause_s)
            try:
                self._renew(reserved_tags())
                pause_s = interval_s
            except Exception as error:  # any error: without this thread every job would run twice
                if pause_s == interval_s:
                    logger.warning("could not renew the lease, trying again: %r", error)
                pause_s = min(RETRY_S, interval_s * 0.9)

    def _renew(self, tags: set[str]) -> None:
        if tags and self.unacked is not None:
            self.unacked.renew(tags)
