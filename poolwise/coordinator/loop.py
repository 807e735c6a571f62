"""The one process besides web and workers: it records outcomes, and runs the duties that are handed to it.

Several may run; none of them needs to know of the others.
"""

import math
import os
import socket
import time
from collections.abc import Sequence

import structlog
from django.db import close_old_connections

from poolwise.coordinator.recording import BATCH, FAULTS, record_new
from poolwise.lifecycle import heartbeats, stream
from poolwise.support import Client, duty, worker_client

log = structlog.get_logger(__name__)
#: Reports that come within this time are recorded together: one by one, they cost 17 ms of a core for each job.
_GATHER_S = 0.1
_PAUSE_AFTER_FAULT_S = 1.0
#: So long at most a coordinator that is told to stop records; what remains waits for the next.
_LAST_REPORTS_S = 3.0


def own_reader(client: Client | None = None) -> stream.Reader:
    """Return how this process reads the stream; it shows itself under the same name."""
    name = f"{heartbeats.COORDINATOR}@{socket.gethostname()}:{os.getpid()}"
    return stream.Reader(worker_client() if client is None else client, name)


class Coordinator:
    """Records what `reader` finds and runs the duties, in one loop, until `stop` is called."""

    def __init__(self, reader: stream.Reader, duties: Sequence[duty.Duty]) -> None:
        self._reader, self._duties = reader, duties
        self._is_ready = self._had_outage = self._stopping = False
        self._logged_fault = ""

    def run(self) -> None:
        """Work until told to stop; a fault of Redis or the database is logged and waited out."""
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
        """Tell whether `stop` was called."""
        return self._stopping

    def stop(self) -> None:
        """End the loop after the step at hand."""
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
        )  # the group may be gone with Redis' data: it is made anew
        if str(error) != self._logged_fault:
            self._logged_fault = str(error)
            log.error("the coordinator waits", error=str(error), type=type(error).__name__)
        close_old_connections()
        time.sleep(_PAUSE_AFTER_FAULT_S)

    def _record_rest(self) -> None:
        """Record what has been reported by now: whoever ends the workers and then this one has no other to do it."""
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
        except FAULTS:
            raise
        except Exception:  # one duty's mistake must not end the others
            log.exception("a duty failed", duty=each.name)


def _gather_s(duties: Sequence[duty.Duty]) -> float:
    """Return how long to let reports come together: as a duty asks, else a little."""
    asked = (each.pacing.gather_s for each in duties)
    return next((seconds for seconds in asked if seconds is not None), _GATHER_S)


def _wait_ms(duties: Sequence[duty.Duty]) -> int:
    """Return how long to wait for news: until the next duty is due."""
    wait_s = min((each.due_mono for each in duties), default=time.monotonic() + 1.0) - time.monotonic()
    return max(0, math.ceil(wait_s * 1000))
