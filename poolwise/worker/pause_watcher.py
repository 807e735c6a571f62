"""Stop a worker from taking messages while its pool is paused, and let it take them again once it is resumed.

A claim on a paused pool is refused anyway; this only leaves the messages in the queue, where any worker can take them.
"""

from typing import Any

import structlog

from poolwise.lifecycle import pauses
from poolwise.support import REDIS_ERRORS, Client, connect, original, start_native_thread

log = structlog.get_logger(__name__)
_CHECK_EVERY_S = 0.5


class PauseWatcher:
    """Reads the pause state in Redis in a thread of its own; the worker's loop cancels or starts its consumer."""

    def __init__(self) -> None:
        self._consumer: Any = None
        self._pool = self._queue = ""
        self._is_stopped = False
        self.is_paused = False

    def start(self, consumer: Any, pool: str, queue: str) -> None:
        """Start to watch for the worker with this consumer."""
        self._consumer, self._pool, self._queue, self._is_stopped = consumer, pool, queue, False
        start_native_thread(self._watch, "pause-watcher")

    def stop(self) -> None:
        """Stop: the worker ends."""
        self._is_stopped = True

    def _watch(self) -> None:
        sleep, client = original("time", "sleep"), connect(timeout_s=2.0)
        while not self._is_stopped:
            try:
                self.check(client)
            except REDIS_ERRORS as error:
                log.debug("cannot read the pause state; keeping the previous one", error=str(error))
            except Exception:  # without this thread the worker would follow no pause or resume
                log.exception("cannot follow the pause state")
            sleep(_CHECK_EVERY_S)

    def check(self, client: Client) -> None:
        """Read the pause state; if the worker does otherwise, let its loop follow. Raise redis-py's errors."""
        paused = pauses.read_copy(client)
        if paused is not None:  # else Redis lost its data: keep the previous state
            self.is_paused = self._pool in paused.pools
        if self._differs():
            self._consumer.call_soon(self._follow)

    def _differs(self) -> bool:
        tasks = self._consumer.task_consumer  # None between two connections
        return tasks is not None and bool(tasks.consuming_from(self._queue)) == self.is_paused

    def _follow(self) -> None:
        # At shutdown a worker cancels its consumer itself: it must not start it again.
        if self._is_stopped or not self._consumer.is_running or not self._differs():
            return
        log.info("the pool is paused" if self.is_paused else "the pool is resumed", pool=self._pool)
        if self.is_paused:
            self._consumer.cancel_task_queue(self._queue)
        else:
            self._consumer.add_task_queue(self._queue)
