"""How a worker obeys: it stops taking messages while its pool is held, and takes them again once it is resumed.

The claim refuses what reaches it meanwhile, so this only keeps messages where every worker can get them later.
"""

from typing import Any

import structlog

from poolwise.lifecycle import read_copy
from poolwise.support import REDIS_ERRORS, Client, connect, original, start_native_thread

log = structlog.get_logger(__name__)
_CHECK_EVERY_S = 0.5


class PauseWatcher:
    """Looks at the copy in Redis from a thread of its own; the worker's loop cancels or starts its consumer."""

    def __init__(self) -> None:
        self._consumer: Any = None
        self._pool = self._queue = ""
        self._is_stopped = False
        self.is_paused = False

    def start(self, consumer: Any, pool: str, queue: str) -> None:
        """Begin to look, for the worker whose consumer this is."""
        self._consumer, self._pool, self._queue, self._is_stopped = consumer, pool, queue, False
        start_native_thread(self._watch, "pause-watcher")

    def stop(self) -> None:
        """Look no more; the worker ends."""
        self._is_stopped = True

    def _watch(self) -> None:
        sleep, client = original("time", "sleep"), connect(timeout_s=2.0, max_connections=1)
        while not self._is_stopped:
            try:
                self.check(client)
            except REDIS_ERRORS as error:
                log.debug("the switches cannot be read; the last word holds", error=str(error))
            except Exception:  # without this thread the worker would obey no pause, nor its end
                log.exception("the switches cannot be followed")
            sleep(_CHECK_EVERY_S)

    def check(self, client: Client) -> None:
        """Read the copy; where it differs from what the worker does, let its loop follow. Raise redis-py's errors."""
        found = read_copy(client)
        if found is not None:  # Redis without the copy has lost its data: the last word holds
            self.is_paused = self._pool in found.pools
        if self._differs():
            self._consumer.call_soon(self._follow)

    def _differs(self) -> bool:
        tasks = self._consumer.task_consumer  # None between two connections
        return tasks is not None and bool(tasks.consuming_from(self._queue)) == self.is_paused

    def _follow(self) -> None:
        # A worker that ends has cancelled its consumer: it must not take that for its pool's being resumed.
        if self._is_stopped or not self._consumer.is_running or not self._differs():
            return
        log.info("the pool is held" if self.is_paused else "the pool is resumed", pool=self._pool)
        if self.is_paused:
            self._consumer.cancel_task_queue(self._queue)
        else:
            self._consumer.add_task_queue(self._queue)
