"""Threads of the operating system, under gevent too.

All are daemon threads: one that is stuck in a job cannot keep a worker from ending.
"""

import sys
import threading

# The C queue blocks a native thread even where gevent has replaced queue.SimpleQueue.
from _queue import SimpleQueue
from collections.abc import Callable
from concurrent.futures import Executor, Future
from importlib import import_module
from typing import Any


def original(module: str, name: str) -> Any:
    """Return an object of the standard library as it was before gevent patched it."""
    monkey = sys.modules.get("gevent.monkey")
    return getattr(import_module(module), name) if monkey is None else monkey.get_original(module, name)


#: A lock of the operating system, for short sections that never switch greenlets.
native_lock = original("_thread", "allocate_lock")


def start_native_thread(target: Callable[[], object], name: str) -> None:
    """Run `target` in a daemon thread of the operating system, under gevent too."""

    def run() -> None:
        threading.current_thread().name = name
        target()

    original("_thread", "start_new_thread")(run, ())


class DaemonThreads(Executor):
    """At most `limit` native daemon threads, started when they are needed."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._started = 0
        self._busy = 0
        self._calls: SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = SimpleQueue()
        self._lock = native_lock()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Call `fn` in a thread; the future has what it returns or raises."""
        future: Future[Any] = Future()
        self._calls.put((future, lambda: fn(*args, **kwargs)))
        with self._lock:
            self._busy += 1
            more = self._busy > self._started < self._limit
            self._started += more
        if more:
            original("_thread", "start_new_thread")(self._work, ())
        return future

    def _work(self) -> None:
        while True:
            future, call = self._calls.get()
            settle(future, call)
            del future, call  # an idle thread must not keep a job's objects alive
            with self._lock:
                self._busy -= 1


def settle(future: Future[Any], call: Callable[[], Any]) -> None:
    """Make the call, unless its future is cancelled, and give the future what it returns or raises."""
    if not future.set_running_or_notify_cancel():
        return
    try:
        value = call()
    except BaseException as error:
        future.set_exception(error)
    else:
        future.set_result(value)
