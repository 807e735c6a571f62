"""The sign of life of a worker process.

It comes from a real OS thread, so that no job, greenlet or loop can hold it up.
"""

import os
import socket
import time
from collections.abc import Callable
from typing import Any

import structlog
from django.conf import settings

from poolwise.lifecycle import environment, heartbeats
from poolwise.metering import process_stats
from poolwise.pools import api, body_probe
from poolwise.support import REDIS_ERRORS, connect, original, start_native_thread
from poolwise.transport import refused_messages
from poolwise.worker.attempt_table import AttemptTable
from poolwise.worker.process_stats_thread import ProcessStats, slots_of

log = structlog.get_logger(__name__)
_CHECK_EVERY_S = 0.2
#: A worker in which nothing runs at so many looks in a row has come to rest; by then its reports are recorded.
_CHECKS_AT_REST = 3
#: A worker that has been without its broker for so long says so; what it finds again sooner is nobody's concern.
_UNCONNECTED_AFTER_S = 10.0


class HeartbeatThread:
    """Writes a worker's sign of life every few seconds, from a thread of its own."""

    _stats: ProcessStats
    #: What does not change while the worker lives.
    _facts: dict[str, Any]

    def __init__(self) -> None:
        self._stopped = False
        self._name = ""
        #: Where the watchdog sees that this thread gets to run.
        self.table: AttemptTable | None = None
        self._lock = original("_thread", "allocate_lock")()

    def start(self, consumer: Any, pool: str) -> None:
        """Begin to beat for the worker whose consumer this is."""
        self._name, self._stopped = str(consumer.hostname), False
        self._stats = ProcessStats(consumer)  # here: whoever imported this may have forked since
        self._facts = {
            "name": self._name,
            "pool": pool,
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "machine": environment.machine(),
            "versions": environment.versions(),  # here, since gevent's processes can only be started where its hub runs
        }
        start_native_thread(lambda: self._send_repeatedly(consumer), "heartbeat")

    def stop(self) -> None:
        """Take the worker off the list; it stops on purpose."""
        with self._lock:  # a beat under way must not come after the farewell
            self._stopped = True
        try:
            heartbeats.withdraw(connect(timeout_s=1.0, max_connections=1), self._name)
        except REDIS_ERRORS as error:
            log.warning("the sign of life stays until it is too old", error=str(error))

    def _send_repeatedly(self, consumer: Any) -> None:
        sleep, started_at = original("time", "sleep"), time.time()
        client = connect(timeout_s=2.0, max_connections=1)
        self._stats.start(lambda: self._stopped)
        while not self._stopped:
            if self.table is not None:
                self.table.note_heartbeat(next_within_s=settings.JOB_HEARTBEAT_S * 1.5 + 0.5)
            try:
                self._send(client, consumer, self._heartbeat(consumer, started_at))
            except REDIS_ERRORS as error:
                log.warning("no sign of life could be written", error=str(error))
            except Exception:  # whatever it is: without this thread every running job would run twice
                log.exception("no sign of life could be made")
            self._rest(sleep)

    def _send(self, client: Any, consumer: Any, heartbeat: heartbeats.Heartbeat) -> None:
        with self._lock:
            if not self._stopped:
                heartbeats.send(client, heartbeat, consumer.reserved_attempts())

    def _rest(self, sleep: Callable[[float], None]) -> None:
        """Wait for the next beat, which comes early once the last job has ended: comparisons wait for it."""
        until_mono = time.monotonic() + settings.JOB_HEARTBEAT_S
        received, was_busy = api.jobs_received(), api.slots_in_use() > 0
        checks_at_rest = 0
        while (left_s := until_mono - time.monotonic()) > 0 and checks_at_rest < _CHECKS_AT_REST:
            sleep(min(_CHECK_EVERY_S, left_s))
            was_busy = was_busy or api.jobs_received() != received
            checks_at_rest = checks_at_rest + 1 if was_busy and not api.slots_in_use() else 0

    def _heartbeat(self, consumer: Any, started_at: float) -> heartbeats.Heartbeat:
        _, lag_s = api.loop_lag_s()
        self._stats.refresh()
        return heartbeats.Heartbeat(
            **self._facts,
            slots=slots_of(consumer),
            in_use=api.slots_in_use(),
            memory_bytes=self._stats.last.memory_bytes,
            loop_lag_s=round(lag_s, 4),
            started_at=started_at,
            cpu_s=self._stats.cpu_s(),
            peak_memory_bytes=self._stats.peak_memory_bytes,
            db_connections=self._stats.last.db_connections,
            is_patched=process_stats.is_patched() if getattr(consumer.pool, "is_green", False) else None,
            stall_max_s=round(body_probe.longest_stall_s(), 4),
            refused=refused_messages.total(),
            is_connected=consumer.unconnected_s < _UNCONNECTED_AFTER_S,
        )
