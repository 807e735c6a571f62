"""Sends the reports of a worker's main process in a thread: the worker's loop must not block."""

import os
import queue
import threading
import time
from typing import Any

import structlog

from poolwise.lifecycle import stream
from poolwise.support import REDIS_ERRORS, connect

log = structlog.get_logger(__name__)


class _Poster:
    """Sends reports in order, in a thread of its own, until Redis has them."""

    def __init__(self) -> None:
        self._waiting: queue.SimpleQueue[tuple[float, stream.Outcome]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._running_in_pid = 0
        self._unsent = 0
        self._hurried = False

    def post(self, outcome: stream.Outcome, after_s: float) -> None:
        self._waiting.put((time.monotonic() + after_s, outcome))
        with self._lock:
            self._unsent += 1
            if self._running_in_pid != os.getpid():
                threading.Thread(target=self._send_repeatedly, name="reports", daemon=True).start()
                self._running_in_pid = os.getpid()  # only now: starting a thread may fail

    def _send_repeatedly(self) -> None:
        client = connect(timeout_s=5.0)
        while True:
            due_mono, outcome = self._waiting.get()
            if not self._hurried:
                time.sleep(max(0.0, due_mono - time.monotonic()))
            while not self._sent(client, outcome):
                time.sleep(1.0)
            with self._lock:
                self._unsent -= 1

    def flush(self, timeout_s: float) -> None:
        self._hurried = True
        until = time.monotonic() + timeout_s
        while self._unsent and time.monotonic() < until:
            time.sleep(0.01)

    @staticmethod
    def _sent(client: Any, outcome: stream.Outcome) -> bool:
        try:
            stream.report(client, outcome)
        except REDIS_ERRORS as error:
            log.warning("a report waits for Redis", job=outcome.job_id, error=str(error))
            return False
        except Exception:  # the coordinator recovers its job; other reports must not wait behind it
            log.exception("cannot send a report; dropped", job=outcome.job_id)
        return True


_poster = _Poster()


def post(outcome: stream.Outcome, *, after_s: float = 0.0) -> None:
    """Report an outcome without waiting, after `after_s`: the caller is the worker's loop, which must not block."""
    _poster.post(outcome, after_s)


def flush(timeout_s: float) -> None:
    """Wait until every posted report is sent, at most `timeout_s`; called before the process ends."""
    _poster.flush(timeout_s)
