"""The heartbeat of a worker, sent from a real OS thread, which no job, greenlet or event loop can delay."""

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
from poolwise.support import REDIS_ERRORS, connect, dropped, original, start_native_thread
from poolwise.transport import refused_messages
from poolwise.worker.attempt_table import AttemptTable
from poolwise.worker.process_stats_thread import ProcessStats, slots_of

log = structlog.get_logger(__name__)
_CHECK_EVERY_S = 0.2
#: After this many checks in a row without a running job a worker is idle; by then its reports are recorded.
_IDLE_CHECKS = 3
#: A worker reports that it has no broker after this time; shorter interruptions do not matter.
_UNCONNECTED_AFTER_S = 10.0


class HeartbeatThread:
    """Sends a worker's heartbeat every `JOB_HEARTBEAT_S`, in a thread of its own."""

    _stats: ProcessStats
    #: The values that do not change while the worker runs.
    _facts: dict[str, Any]

    def __init__(self) -> None:
        self._stopped = False
        self._name = ""
        #: Where the watchdog sees whether this thread runs.
        self.table: AttemptTable | None = None
        self._lock = original("_thread", "allocate_lock")()

    def start(self, consumer: Any, pool: str) -> None:
        """Start to send heartbeats for the worker with this consumer."""
        self._name, self._stopped = str(consumer.hostname), False
        self._stats = ProcessStats(consumer)  # here: the process may have forked since the import
        self._facts = {
            "name": self._name,
            "pool": pool,
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "machine": environment.machine(),
            "versions": environment.versions(),  # here: under gevent a process can only be started where the hub runs
        }
        start_native_thread(lambda: self._send_repeatedly(consumer), "heartbeat")

    def stop(self) -> None:
        """Stop, and remove the worker's heartbeat."""
        with self._lock:  # no heartbeat may follow the removal
            self._stopped = True
        try:
            heartbeats.withdraw(connect(timeout_s=1.0), self._name)
            if self.table is not None:
                self.table.note_no_heartbeats()
        except REDIS_ERRORS as error:
            log.warning("cannot remove the heartbeat; it expires by age", error=str(error))

    def _send_repeatedly(self, consumer: Any) -> None:
        sleep, started_at = original("time", "sleep"), time.time()
        client = connect(timeout_s=2.0)
        self._stats.start(lambda: self._stopped)
        while not self._stopped:
            if self.table is not None:
                self.table.note_heartbeat(next_within_s=settings.JOB_HEARTBEAT_S * 1.5 + 0.5)
            try:
                self._send(client, consumer, self._heartbeat(consumer, started_at))
            except REDIS_ERRORS as error:
                log.warning("cannot send the heartbeat", error=str(error))
            except (
                Exception
            ):  # whatever it is: without this thread every running job would be recovered and run twice
                log.exception("cannot make the heartbeat")
            self._wait(sleep, consumer)

    def _send(self, client: Any, consumer: Any, heartbeat: heartbeats.Heartbeat) -> None:
        with self._lock:
            if not self._stopped:
                heartbeats.send(client, heartbeat, consumer.reserved_attempts())

    def _wait(self, sleep: Callable[[float], None], consumer: Any) -> None:
        """Wait until the next heartbeat is due: at once when the last job has ended, since comparisons wait for that."""
        until_mono = time.monotonic() + settings.JOB_HEARTBEAT_S
        received, was_busy = api.jobs_received(), api.slots_in_use() > 0
        idle_checks = 0
        while (left_s := until_mono - time.monotonic()) > 0 and idle_checks < _IDLE_CHECKS:
            sleep(min(_CHECK_EVERY_S, left_s))
            self._report_places(consumer)
            was_busy = was_busy or api.jobs_received() != received
            idle_checks = idle_checks + 1 if was_busy and not api.slots_in_use() else 0

    @staticmethod
    def _report_places(consumer: Any) -> None:
        try:
            consumer.report_places()
        except Exception:  # as above
            log.exception("cannot report where jobs run")

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
            refused=refused_messages.total() + dropped.total(),
            is_connected=consumer.unconnected_s < _UNCONNECTED_AFTER_S,
        )
