"""How a running body is stopped from outside, and what it sees."""

import _thread
import ctypes
import threading
from collections.abc import Callable
from enum import StrEnum
from typing import Any, ClassVar

from celery.exceptions import SoftTimeLimitExceeded

from poolwise.support import PoolwiseError


class Why(StrEnum):
    """Why a job was interrupted; all but SOFT end it."""

    SOFT = "soft"
    HARD = "hard"
    REVOKED = "revoked"
    SHUTDOWN = "shutdown"


FINAL = frozenset({Why.HARD, Why.REVOKED, Why.SHUTDOWN})

#: Hands an interrupt to the body that runs now.
type Reach = Callable[[Why], None]


class Interrupted(BaseException):
    """The pool ends this job: `why` is "hard", "revoked" or "shutdown"."""

    why: ClassVar[Why]


class HardStop(Interrupted):
    """The job's time limit is over."""

    why = Why.HARD


class RevokedStop(Interrupted):
    """The job was cancelled while it ran."""

    why = Why.REVOKED


class ShutdownStop(Interrupted):
    """The worker shuts down at once."""

    why = Why.SHUTDOWN


class BodyCancelled(PoolwiseError):
    """The coroutine was cancelled, though not by the pool: catch asyncio.CancelledError in it."""


class ChildExited(PoolwiseError):
    """A task that the job started asked the process to exit: only the job itself may do that."""


_EXCEPTIONS: dict[Why, type[BaseException]] = {
    Why.SOFT: SoftTimeLimitExceeded,
    Why.HARD: HardStop,
    Why.REVOKED: RevokedStop,
    Why.SHUTDOWN: ShutdownStop,
}
_LANDING = (SoftTimeLimitExceeded, Interrupted)


def exception_for(why: Why) -> type[BaseException]:
    """Return the class of what the body sees."""
    return _EXCEPTIONS[why]


def _raise_in(thread_id: ctypes.c_ulong, exception: type[BaseException] | None) -> None:
    ctypes.pythonapi.PyThreadState_SetAsyncExc(thread_id, ctypes.py_object(exception) if exception else None)


class ThreadReach:
    """Raise an exception in the thread that made this object, until it is closed.

    It lands between two byte codes: late while the thread is inside one call of C.
    """

    # An interrupt may land even inside `close`: the lock is re-entrant and others wait for it with a bound.
    def __init__(self) -> None:
        self._thread = ctypes.c_ulong(_thread.get_ident())
        self._lock = threading.RLock()
        self._open = True

    def __call__(self, why: Why) -> None:
        """Raise the exception of `why` in the thread; do nothing if it left the body."""
        if not self._lock.acquire(timeout=0.1):
            return
        try:
            if self._open:
                _raise_in(self._thread, exception_for(why))
        finally:
            self._lock.release()

    def close(self) -> None:
        """Let nothing land any more; what is on its way is dropped, for the body has ended."""
        while True:
            try:
                with self._lock:
                    self._open = False
                    _raise_in(self._thread, None)
                return
            except _LANDING:
                continue


def call_in_thread(enter: Callable[[Reach], None], call: Callable[[], Any]) -> Any:
    """Return `call()`, made where an interrupt can land; `enter` is told how and may refuse by raising."""
    reach = ThreadReach()
    try:
        try:
            enter(reach)
            return call()
        finally:
            reach.close()
    except _LANDING:
        reach.close()  # one that landed on the way into the first close skipped it
        raise
