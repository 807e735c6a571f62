"""Interrupts: how a running body is stopped from outside, and which exception it sees."""

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

#: Hands an interrupt to the running body.
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
    """A coroutine of the job asked the process to exit: that ends the job, and not its worker."""


_EXCEPTIONS: dict[Why, type[BaseException]] = {
    Why.SOFT: SoftTimeLimitExceeded,
    Why.HARD: HardStop,
    Why.REVOKED: RevokedStop,
    Why.SHUTDOWN: ShutdownStop,
}
_LANDING = (SoftTimeLimitExceeded, Interrupted)


def exception_for(why: Why) -> type[BaseException]:
    """Return the class of the exception that the body sees."""
    return _EXCEPTIONS[why]


def _raise_in(thread_id: ctypes.c_ulong, exception: type[BaseException] | None) -> None:
    ctypes.pythonapi.PyThreadState_SetAsyncExc(thread_id, ctypes.py_object(exception) if exception else None)


class ThreadReach:
    """Raises exceptions in the thread that created this object, until it is closed.

    The exception is raised between two byte codes, so it waits while the thread is inside a call of C.
    """

    # An exception may be raised even inside `close`: so the lock is re-entrant, and others wait for it with a time-out.
    def __init__(self) -> None:
        self._thread = ctypes.c_ulong(_thread.get_ident())
        self._lock = threading.RLock()
        self._open = True

    def __call__(self, why: Why) -> None:
        """Raise the exception of `why` in the thread; do nothing if it has left the body."""
        if not self._lock.acquire(timeout=0.1):
            return
        try:
            if self._open:
                _raise_in(self._thread, exception_for(why))
        finally:
            self._lock.release()

    def close(self) -> None:
        """Stop raising, and drop a pending exception: the body has ended."""
        while True:
            try:
                with self._lock:
                    self._open = False
                    _raise_in(self._thread, None)
                return
            except _LANDING:
                continue


def call_in_thread(enter: Callable[[Reach], None], call: Callable[[], Any]) -> Any:
    """Return `call()`, during which this thread can be interrupted; `enter` gets the means, and may raise instead."""
    reach = ThreadReach()
    try:
        try:
            enter(reach)
            return call()
        finally:
            reach.close()
    except _LANDING:
        reach.close()  # an exception raised before the first close skipped it
        raise
