"""What a job needs from the pool that carries it."""

from collections.abc import Callable
from typing import Any, Protocol


class Cancellable(Protocol):
    """A timer that has not fired."""

    def cancel(self) -> object:
        """Let it not fire."""


class AttemptNotes(Protocol):
    """Where a pool notes what runs, for a watchdog."""

    def note(self, text: str, deadline_mono: float) -> Callable[[], None]:
        """Note a running attempt and the end of its time; return what takes it off again."""


class PoolProtocol[R](Protocol):
    """What a job, of a class that this module need not know, needs from its pool."""

    def reach_out(self, job: R) -> None:
        """Call `job.deliver` where the body of the job can be interrupted."""

    def call_later(self, delay_s: float, call: Callable[[], None]) -> Cancellable:
        """Make the call after a delay, unless it is cancelled."""

    def detach(self, call: Callable[[], None]) -> None:
        """Make the call elsewhere than in the job."""

    def finished(self, job: R) -> None:
        """Take the job's slot back."""

    def given_up(self, job: R) -> None:
        """Note that the job ignored its end and may still run."""

    def run_coroutine(self, job: R, coro: Any) -> Any:
        """Return what the coroutine returns, as a part of the body."""

    def run_sync(self, job: R, call: Callable[[], Any]) -> Any:
        """Return `call()`, made as a part of the body."""

    def offload(self, job: R, call: Callable[[], Any]) -> Any:
        """Return `call()`, which may block and which nothing interrupts."""

    def sleep(self, job: R, seconds: float) -> None:
        """Block the job alone."""

    def on_loop(self) -> bool:
        """Tell whether the caller is a job's greenlet on an event loop."""

    def cpu_s(self, job: R) -> float:
        """Return the CPU seconds of the job so far."""

    def greenlet_or_task(self, job: R) -> str:
        """Name the greenlet or task that carries the job."""
