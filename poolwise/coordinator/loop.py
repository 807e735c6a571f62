"""The loops of the coordinator: one records outcomes, the other runs the duties, so that a slow one delays no outcome.

Several coordinators may run, independently.
"""

import math
import os
import socket
import time
from collections.abc import Sequence

import structlog
from django.db import close_old_connections

from poolwise.coordinator.pace import Pace
from poolwise.coordinator.recording import FAULTS, is_temporary, record_new, record_pending
from poolwise.lifecycle import heartbeats, stream
from poolwise.support import Client, duty, worker_client

log = structlog.get_logger(__name__)
_PAUSE_AFTER_FAULT_S = 1.0
#: How long at most a stopping coordinator still records; the next one records the rest.
_LAST_REPORTS_S = 3.0


def own_reader(client: Client | None = None) -> stream.Reader:
    """Return the reader of this process; its name is also that of the coordinator's heartbeat."""
    name = f"{heartbeats.COORDINATOR}@{socket.gethostname()}:{os.getpid()}"
    return stream.Reader(worker_client() if client is None else client, name)


class Coordinator:
    """Records what `reader` reads and runs the duties, in one loop, until `stop` is called.

    `paced_by` are the duties of another loop that may ask for more time to gather reports.
    """

    def __init__(
        self, reader: stream.Reader, duties: Sequence[duty.Duty], *, paced_by: Sequence[duty.Duty] = ()
    ) -> None:
        self._reader, self._duties = reader, duties
        self._is_ready = self._had_outage = self._stopping = False
        self._logged_fault = ""
        self._pace = Pace([*duties, *paced_by])

    def run(self) -> None:
        """Run until `stop` is called; log faults of Redis or the database, and wait until they are over."""
        while not self._stopping:
            try:
                self._begin_unless_ready()
                recorded = self._record(_wait_ms(self._duties))
                _do_what_is_due(self._duties, recorded)
                self._logged_fault = ""
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
            self._prepare()
            # First: a fault that comes meanwhile, in another thread too, must make it begin again.
            self._is_ready, had_outage, self._had_outage = True, self._had_outage, False
            for each in self._duties:
                each.begin(had_outage)

    def _prepare(self) -> None:
        self._reader.prepare()
        while self._had_outage and record_pending(self._reader):
            pass

    def _record(self, wait_ms: int) -> int:
        recorded = record_new(self._reader, wait_ms=wait_ms, gather_s=self._pace.gather_s())
        self._pace.note(recorded)
        return recorded

    def begin_again(self) -> None:
        """Let the duties begin again, as after an outage: the group and the marks may be gone with Redis' data."""
        self._is_ready, self._had_outage = False, True

    def _wait_out(self, error: Exception) -> None:
        self.begin_again()
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


def _wait_ms(duties: Sequence[duty.Duty]) -> int:
    """Return how long to wait for reports: until the next duty is due, and at most a second."""
    wait_s = min((each.due_mono for each in duties), default=math.inf) - time.monotonic()
    return max(0, math.ceil(min(wait_s, 1.0) * 1000))
