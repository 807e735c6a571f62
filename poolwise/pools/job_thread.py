"""The thread of one job for calls that must share a thread, such as those of Django's async ORM."""

from _queue import SimpleQueue  # the C queue blocks a native thread even under gevent
from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextvars import Token
from functools import partial
from typing import Any

from poolwise.pools.connections import drop_all
from poolwise.support import DaemonThreads, native_lock, settle

#: How many jobs of a process may have such a thread at a time, and so a database connection each; the others wait for one.
MAX_THREADS = 32
_THREADS = DaemonThreads(MAX_THREADS)


class JobThread(Executor):
    """A thread that belongs to a job from its first call until its end; no other job sees its database connections."""

    def __init__(self) -> None:
        self._calls: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        self._work: Future[None] | None = None
        self._has_ended = False
        self._lock = native_lock()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Call `fn` in the thread; the future has what it returns or raises. Raise RuntimeError after the job's end."""
        future: Future[Any] = Future()
        with self._lock:
            if self._has_ended:
                raise RuntimeError("The job that this thread belongs to has ended.")
            self._calls.put((future, partial(fn, *args, **kwargs)))
            self._work = self._work or _THREADS.submit(self._serve)
        return future

    def end(self) -> Future[None] | None:
        """Give the thread back after the calls so far; return the future of that, None if there was no call."""
        with self._lock:
            if not self._has_ended:
                self._has_ended = True
                self._calls.put(None)
        return self._work

    def _serve(self) -> None:
        try:
            while (item := self._calls.get()) is not None:
                settle(*item)
                del item  # a waiting thread must not keep a call's objects alive
        finally:
            drop_all()


def assign(thread: JobThread) -> Token[Any]:
    """Make asgiref call synchronous code of the current context in this thread; return what resets that."""
    from asgiref.sync import SyncToAsync, ThreadSensitiveContext  # not before gevent has patched

    context = ThreadSensitiveContext()
    SyncToAsync.context_to_thread_executor[context] = thread
    return SyncToAsync.thread_sensitive_context.set(context)
