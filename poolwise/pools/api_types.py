"""Protocols: what a job needs from its pool."""

from collections.abc import Callable
from typing import Any, Protocol


class Cancellable(Protocol):
    """A timer that has not fired."""

    def cancel(self) -> object:
        """Prevent it from firing."""


class AttemptNote(Protocol):
    """An attempt in the list that a watchdog reads."""

    def limit(self, deadline_mono: float) -> None:
        """Change the deadline of its body, unless it was removed."""

    def run_on(self, thread: int) -> None:
        """Note that this thread runs it from now on, unless it was removed."""

    def remove(self) -> None:
        """Remove it, unless it was removed."""


class AttemptNotes(Protocol):
    """The list of attempts that a watchdog reads."""

    def note(self, text: str) -> AttemptNote:
        """Add an attempt whose body has no deadline yet."""


class PoolProtocol[R](Protocol):
    """What a job of class `R` needs from its pool."""

    def reach_out(self, job: R) -> None:
        """Call `job.deliver` in the thread where the body can be interrupted."""

    def call_later(self, delay_s: float, call: Callable[[], None]) -> Cancellable:
        """Make the call after a delay, unless it is cancelled."""

    def detach(self, call: Callable[[], None]) -> None:
        """Make the call outside the job."""

    def finished(self, job: R) -> None:
        """Free the job's slot."""

    def given_up(self, job: R) -> None:
        """Handle a job that ignored its end and may still run."""

    def run_coroutine(self, job: R, coro: Any) -> Any:
        """Run the coroutine as a part of the body; return its result."""

    def run_sync(self, job: R, call: Callable[[], Any]) -> Any:
        """Return `call()`, called as a part of the body."""

    def offload(self, job: R, call: Callable[[], Any]) -> Any:
        """Return `call()`, which may block and which nothing interrupts."""

    def sleep(self, job: R, seconds: float) -> None:
        """Block only the job."""

    def on_loop(self) -> bool:
        """Return whether the caller is a job's greenlet on an event loop."""

    def cpu_s(self, job: R) -> float:
        """Return the CPU seconds of the job so far."""

    def greenlet_or_task(self, job: R) -> str:
        """Return the name of the job's greenlet or task."""
