"""The coordinator of the command: it records in one thread and runs the duties in another."""

import math
import threading
from collections.abc import Sequence

from django.db import connections

from poolwise.coordinator.loop import Coordinator
from poolwise.lifecycle import stream
from poolwise.support import duty


class ThreadedCoordinator:
    """Records in a thread of its own, and runs the duties in the caller's, until `stop` is called."""

    def __init__(
        self, reader: stream.Reader, recording: Sequence[duty.Duty], duties: Sequence[duty.Duty]
    ) -> None:
        self._acting = _Acting(reader, duties)
        tell = duty.Duty("tell", math.inf, self._acting.wake, begin=self._on_begin, after_recording=True)
        self._recording = Coordinator(reader, [tell, *recording], paced_by=duties)
        self._error: BaseException | None = None

    @property
    def is_stopping(self) -> bool:
        """Return whether `stop` was called."""
        return self._acting.is_stopping

    def stop(self) -> None:
        """End both loops after their current steps."""
        self._recording.stop()
        self._acting.stop()

    def run(self) -> None:
        """Run until `stop` is called. An error in either thread ends both and is raised."""
        recording = threading.Thread(target=self._record, name="recording")
        recording.start()
        try:
            self._acting.run()
        finally:
            self.stop()
            recording.join()
        if self._error is not None:
            raise self._error

    def _record(self) -> None:
        try:
            self._recording.run()
        except BaseException as error:  # the process must not go on without recording
            self._error = error
            self.stop()
        finally:
            connections.close_all()  # those of this thread

    def _on_begin(self, is_after_outage: bool) -> None:
        if is_after_outage:
            self._acting.begin_again()


class _Acting(Coordinator):
    """The loop that records nothing: it waits until the other one has recorded, or a duty is due.

    `stop` does not end the wait: a signal handler may call it while this thread holds the event's lock.
    """

    def __init__(self, reader: stream.Reader, duties: Sequence[duty.Duty]) -> None:
        super().__init__(reader, duties)
        self._has_recorded = threading.Event()

    def wake(self) -> None:
        """Run the duties that follow a recording."""
        self._has_recorded.set()

    def begin_again(self) -> None:
        """Let the duties begin again, as after an outage."""
        super().begin_again()
        self.wake()

    def _prepare(self) -> None:
        self._reader.client.ping()  # while Redis is away, no duty begins

    def _record(self, wait_ms: int) -> int:
        recorded = self._has_recorded.wait(wait_ms / 1000)
        self._has_recorded.clear()
        return int(recorded)

    def _record_rest(self) -> None:
        """Leave it to the other loop."""
