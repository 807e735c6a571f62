"""What a worker process does beside its jobs: its sign of life, and reports from its main thread.

Both run on real OS threads, so that no job, greenlet or loop can hold them up.
"""

import os
import platform
import queue
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import structlog
from django.conf import settings

from jobs.cores import usable_cores
from jobs.environment import code_version, machine
from jobs.heartbeats import Beat, send, withdraw
from jobs.pools import base, bridge, probes, refusals, vitals
from jobs.pools.executor import original, start_native_thread
from jobs.redis_client import REDIS_ERRORS, connect
from jobs.stream import Outcome, report
from jobs.watched import Table

log = structlog.get_logger(__name__)


def versions() -> dict[str, str]:
    """Return what a reader needs to know of this worker's software."""
    gil = getattr(sys, "_is_gil_enabled", lambda: True)()
    return {
        "python": platform.python_version(),
        "gil": "on" if gil else "off",
        "celery": version("celery"),
        "django": version("django"),
        "gevent": version("gevent"),
        "cores": f"{usable_cores():g}",
        "code": code_version(),
    }


_LOOK_EVERY_S = 0.2
#: A worker in which nothing runs at so many looks in a row has come to rest; by then its reports are recorded.
_LOOKS_AT_REST = 3
#: A worker that has been without its broker for so long says so; what it finds again sooner is nobody's concern.
_UNCONNECTED_AFTER_S = 10.0
#: What took so long to read is read again after so many times as long.
_REST_FOR_EACH_S = 5.0


class Heart:
    """Writes a worker's sign of life every few seconds, from a thread of its own."""

    _gauge: vitals.Gauge
    _reading = vitals.Reading(memory_bytes=0, db_connections=None)
    #: Whether jobs compute in this process, where whoever reads many files waits for the interpreter's lock each time.
    _is_shared: bool
    _machine = ""

    def __init__(self) -> None:
        self._stopped = False
        self._name = ""
        self._peak_bytes = 0
        #: Where the watchdog sees that this thread gets to run.
        self.table: Table | None = None
        self._lock = original("_thread", "allocate_lock")()

    def start(self, consumer: Any, pool: str) -> None:
        """Begin to beat for the worker whose consumer this is."""
        self._name, self._stopped = str(consumer.hostname), False
        self._gauge = vitals.Gauge(os.getpid())  # here: whoever imported this may have forked since
        self._is_shared = base.running_pool() is not None
        self._machine = machine()
        facts = versions()  # here, since gevent's processes can only be started where its hub runs
        start_native_thread(lambda: self._beat_on(consumer, pool, facts), "heartbeat")

    def stop(self) -> None:
        """Take the worker off the list; it stops on purpose."""
        with self._lock:  # a beat under way must not come after the farewell
            self._stopped = True
        try:
            withdraw(connect(timeout_s=1.0, max_connections=1), self._name)
        except REDIS_ERRORS as error:
            log.warning("the sign of life stays until it is too old", error=str(error))

    def _beat_on(self, consumer: Any, pool: str, facts: dict[str, str]) -> None:
        sleep, started_at = original("time", "sleep"), time.time()
        client = connect(timeout_s=2.0, max_connections=1)
        if self._is_shared:
            self._read(consumer)
            start_native_thread(lambda: self._read_on(consumer, sleep), "gauge")
        while not self._stopped:
            if self.table is not None:
                self.table.beats(again_within_s=settings.JOB_HEARTBEAT_S * 1.5 + 0.5)
            try:
                self._send(client, consumer, self._beat(consumer, pool, started_at, facts))
            except REDIS_ERRORS as error:
                log.warning("no sign of life could be written", error=str(error))
            except Exception:  # whatever it is: without this thread every running job would run twice
                log.exception("no sign of life could be made")
            self._rest(sleep)

    def _send(self, client: Any, consumer: Any, beat: Beat) -> None:
        with self._lock:
            if not self._stopped:
                send(client, beat, consumer.held_attempts())

    def _rest(self, sleep: Callable[[float], None]) -> None:
        """Wait for the next beat, which comes early once the last job has ended: comparisons wait for it."""
        until_mono = time.monotonic() + settings.JOB_HEARTBEAT_S
        received, was_busy = bridge.jobs_received(), bridge.slots_in_use() > 0
        looks_at_rest = 0
        while (left_s := until_mono - time.monotonic()) > 0 and looks_at_rest < _LOOKS_AT_REST:
            sleep(min(_LOOK_EVERY_S, left_s))
            was_busy = was_busy or bridge.jobs_received() != received
            looks_at_rest = looks_at_rest + 1 if was_busy and not bridge.slots_in_use() else 0

    def _read_on(self, consumer: Any, sleep: Callable[[float], None]) -> None:
        """Read beside the beats, which must not wait for it: with sixteen jobs that compute it takes twenty seconds."""
        rest_s = settings.JOB_HEARTBEAT_S
        while not self._stopped:
            sleep(rest_s)
            began_mono = time.monotonic()
            self._read(consumer)
            rest_s = max(settings.JOB_HEARTBEAT_S, _REST_FOR_EACH_S * (time.monotonic() - began_mono))

    def _read(self, consumer: Any) -> None:
        try:
            self._reading = self._gauge.read(_slots(consumer), settings.DATABASES["default"])
        except Exception:  # a sign of life with older figures is better than none
            log.exception("memory and connections cannot be read")
        self._peak_bytes = max(self._peak_bytes, self._reading.memory_bytes)

    def _beat(self, consumer: Any, pool: str, started_at: float, facts: dict[str, str]) -> Beat:
        workers = consumer.pool
        _, lag_s = bridge.loop_lag_s()
        if not self._is_shared:
            self._read(consumer)
        return Beat(
            name=self._name,
            pool=pool,
            pid=os.getpid(),
            host=socket.gethostname(),
            machine=self._machine,
            slots=_slots(consumer),
            in_use=bridge.slots_in_use(),
            memory_bytes=self._reading.memory_bytes,
            loop_lag_s=round(lag_s, 4),
            started_at=started_at,
            versions=facts,
            cpu_s=round(vitals.cpu_s(self._gauge.found), 2),
            peak_memory_bytes=self._peak_bytes,
            db_connections=self._reading.db_connections,
            is_patched=vitals.is_patched() if getattr(workers, "is_green", False) else None,
            stall_max_s=round(probes.longest_stall_s(), 4),
            refused=refusals.total(),
            is_connected=consumer.unconnected_s < _UNCONNECTED_AFTER_S,
        )


def _slots(consumer: Any) -> int:
    # Celery's own pool of processes keeps its first `limit` when it grows or shrinks.
    return int(getattr(consumer.pool, "num_processes", None) or getattr(consumer.pool, "limit", None) or 0)


_draining = False


def drain(reason: str) -> None:
    """Take no more jobs and end once the others have ended: what is stuck here needs a fresh process."""
    global _draining
    if not _draining:
        _draining = True
        log.error("the worker takes no more jobs, and ends when the others have", reason=reason)
        os.kill(os.getpid(), signal.SIGTERM)


def shutdown_grace_s() -> float:
    """Return how long running jobs get from SIGTERM: longer where the worker drains itself."""
    return float(settings.DRAIN_GRACE_S if _draining else settings.SHUTDOWN_GRACE_S)


#: How long a cold shutdown may take, for one that waits for a Redis that does not answer.
_COLD_SHUTDOWN_S = 10.0


def bound_shutdown(grace_s: float) -> None:
    """Give running jobs `grace_s` to end, then hand them back (cold shutdown), then end the process in any case."""
    start_native_thread(lambda: _end_by_force(grace_s), "shutdown")


def _end_by_force(grace_s: float) -> None:
    sleep = original("time", "sleep")
    sleep(grace_s)
    log.warning("jobs still run; they go back to their queue", grace_s=grace_s)
    os.kill(os.getpid(), signal.SIGQUIT)
    sleep(_COLD_SHUTDOWN_S)
    log.error("the worker does not end by itself and is ended; what it held runs again")
    os._exit(1)


class _Poster:
    """Sends reports from a thread of its own, in order, until Redis has them."""

    def __init__(self) -> None:
        self._waiting: queue.SimpleQueue[tuple[float, Outcome]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._running_in_pid = 0
        self._unsent = 0
        self._hurried = False

    def post(self, outcome: Outcome, after_s: float) -> None:
        self._waiting.put((time.monotonic() + after_s, outcome))
        with self._lock:
            self._unsent += 1
            if self._running_in_pid != os.getpid():
                threading.Thread(target=self._send_on, name="reports", daemon=True).start()
                self._running_in_pid = os.getpid()  # only now: the machine may have no thread to give

    def _send_on(self) -> None:
        client = connect(timeout_s=5.0, max_connections=1)
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
    def _sent(client: Any, outcome: Outcome) -> bool:
        try:
            report(client, outcome)
        except REDIS_ERRORS as error:
            log.warning("a report waits for Redis", job=outcome.job_id, error=str(error))
            return False
        except Exception:  # the coordinator rescues its job; those of the others must not wait behind it
            log.exception("a report cannot be sent and is dropped", job=outcome.job_id)
        return True


_poster = _Poster()


def post(outcome: Outcome, *, after_s: float = 0.0) -> None:
    """Report an outcome without waiting, at once or later: the caller is the worker's loop, which must not block."""
    _poster.post(outcome, after_s)


def flush(timeout_s: float) -> None:
    """Wait until every posted report is sent, at most `timeout_s`; called before the process ends."""
    _poster.flush(timeout_s)
