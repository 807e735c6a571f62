"""The loop of the coordinator: it records outcomes and runs the duties that it is given.

Several coordinators may run, independently.
"""

import math
import os
import socket
import time
from collections.abc import Sequence

import structlog
from django.db import close_old_connections

from poolwise.coordinator.recording import BATCH, FAULTS, is_temporary, record_new
from poolwise.lifecycle import heartbeats, stream
from poolwise.support import Client, duty, worker_client

log = structlog.get_logger(__name__)
#: Reports that arrive within this time are recorded together: recording one alone costs 17 ms of a core.
_GATHER_S = 0.1
_PAUSE_AFTER_FAULT_S = 1.0
#: How long at most a stopping coordinator still records; the next one records the rest.
_LAST_REPORTS_S = 3.0


def own_reader(client: Client | None = None) -> stream.Reader:
    """Return the reader of this process; its name is also that of the coordinator's heartbeat."""
    name = f"{heartbeats.COORDINATOR}@{socket.gethostname()}:{os.getpid()}"
    return stream.Reader(worker_client() if client is None else client, name)


class Coordinator:
    """Records what `reader` reads and runs the duties, in one loop, until `stop` is called."""

    def __init__(self, reader: stream.Reader, duties: Sequence[duty.Duty]) -> None:
        self._reader, self._duties = reader, duties
        self._is_ready = self._had_outage = self._stopping = False
        self._logged_fault = ""

    def run(self) -> None:
        """Run until `stop` is called; log faults of Redis or the database, and wait until they are over."""
        while not self._stopping:
            try:
                self._begin_unless_ready()
                recorded = record_new(self._reader, wait_ms=_wait_ms(self._duties))
                _do_what_is_due(self._duties, recorded)
                self._logged_fault = ""
                if 0 < recorded < BATCH:
                    time.sleep(_gather_s(self._duties))
            except FAULTS as error:
                self._wait_out(error)
        self._record_rest()
        for each in reversed(self._duties):
            each.stop()

    @property
    def is_stopping(self) -> bool:
        """Return whether `stop` was called."""
        return self._stopping

    def stop(self) -> None:
        """End the loop after the current step."""
        self._stopping = True

    def _begin_unless_ready(self) -> None:
        if not self._is_ready:
            self._reader.prepare()
            for each in self._duties:
                each.begin(self._had_outage)
            self._is_ready = True

    def _wait_out(self, error: Exception) -> None:
        self._is_ready, self._had_outage = (
            False,
            True,
        )  # the group may be gone with Redis' data: make it again
        if str(error) != self._logged_fault:
            self._logged_fault = str(error)
            log.error(
                "the coordinator waits for Redis or the database", error=str(error), type=type(error).__name__
            )
        close_old_connections()
        time.sleep(_PAUSE_AFTER_FAULT_S)

    def _record_rest(self) -> None:
        """Record what is reported by now: if workers and coordinator stop together, no other one does it."""
        until_mono = time.monotonic() + _LAST_REPORTS_S
        try:
            while record_new(self._reader, wait_ms=0) and time.monotonic() < until_mono:
                pass
        except FAULTS as error:
            log.warning("reports stay on the stream for the next coordinator", error=str(error))


def _do_what_is_due(duties: Sequence[duty.Duty], recorded: int) -> None:
    for each in duty.due(duties, has_recorded=recorded > 0):
        try:
            each.run_now()
        except Exception as error:  # an error in one duty must not stop the others
            if is_temporary(error):
                raise
            log.exception("a duty failed", duty=each.name)


def _gather_s(duties: Sequence[duty.Duty]) -> float:
    """Return how long to gather reports: as long as a duty asks for, else `_GATHER_S`."""
    wanted = (each.pacing.gather_s for each in duties)
    return next((seconds for seconds in wanted if seconds is not None), _GATHER_S)


def _wait_ms(duties: Sequence[duty.Duty]) -> int:
    """Return how long to wait for reports: until the next duty is due."""
    wait_s = min((each.due_mono for each in duties), default=time.monotonic() + 1.0) - time.monotonic()
    return max(0, math.ceil(wait_s * 1000))
