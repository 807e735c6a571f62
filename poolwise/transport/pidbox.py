"""Remote control of a gevent worker: unlike Celery's own it comes back after a loss of its connection."""

import threading
from contextlib import suppress
from typing import Any

from celery.utils.log import get_logger

from poolwise.transport.upstream import control, pidbox

logger = get_logger(__name__)

RETRY_S = 1.0


class GreenPidbox(pidbox.gPidbox):
    """The mailbox of a gevent worker."""

    def loop(self, c: Any) -> None:
        """Serve control commands until the worker stops, or loses the connection of its jobs."""
        shutdown = self._node_shutdown = threading.Event()
        stopped = self._node_stopped = threading.Event()
        try:
            while not shutdown.is_set() and c.connection:
                try:
                    self._serve(c, shutdown)
                except c.connection_errors as error:
                    logger.warning("remote control lost its connection, connecting again: %r", error)
                    shutdown.wait(RETRY_S)
        finally:
            stopped.set()

    def _serve(self, c: Any, shutdown: threading.Event) -> None:
        resets = self._resets
        with c.app.connection_for_read() as connection:
            connection.connect()
            self._do_reset(c, connection)
            while not shutdown.is_set() and c.connection:
                if resets < self._resets:
                    resets = self._resets
                    self._do_reset(c, connection)
                with suppress(TimeoutError):
                    connection.drain_events(timeout=1.0)


class PoolControl(control.Control):
    """Celery's remote control step, with this mailbox under gevent."""

    def __init__(self, c: Any, **kwargs: Any) -> None:
        super().__init__(c, **kwargs)
        if self.is_green:
            self.box = GreenPidbox(c)
            self.start, self.stop, self.shutdown = self.box.start, self.box.stop, self.box.shutdown
