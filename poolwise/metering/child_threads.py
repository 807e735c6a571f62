"""CPU time of the threads that a job starts: charged to the job, without a change in its code."""

import threading
from collections.abc import Callable
from concurrent import futures
from concurrent.futures import thread as pool_threads
from typing import Any

from poolwise.metering.cpu_clocks import METER

_thread_class: Any = threading.Thread
_executor_class: Any = futures.ThreadPoolExecutor
_worker_of_executor: Any = getattr(pool_threads, "_worker", None)
_start, _submit = _thread_class.start, _executor_class.submit
_installed: set[str] = set()


def install() -> None:
    """Charge from now on what jobs start by `threading` and by a ThreadPoolExecutor; nothing else changes."""
    if not _installed:
        _installed.add("native")
        _thread_class.start, _executor_class.submit = _started, _submitted


def install_on_gevent() -> None:
    """Charge from now on the calls in gevent's native threads; its greenlets are charged at each switch."""
    from gevent.threadpool import ThreadPool

    if _installed:
        return
    _installed.add("gevent")
    spawn = ThreadPool.spawn

    def spawned(self: Any, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        meter = METER.get()
        return (
            spawn(self, func, *args, **kwargs)
            if meter is None
            else spawn(self, meter.call, func, *args, **kwargs)
        )

    ThreadPool.spawn = spawned


def _started(thread: Any) -> None:
    meter = METER.get()
    # A thread of an executor outlives the job; its calls are charged one by one.
    if meter is not None and getattr(thread, "_target", None) is not _worker_of_executor:
        run = thread.run

        def metered() -> None:
            del thread.run  # else the thread would refer to itself
            meter.call(run)

        thread.run = metered
    _start(thread)


def _submitted(executor: Any, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    meter = METER.get()
    return (
        _submit(executor, fn, *args, **kwargs)
        if meter is None
        else _submit(executor, meter.call, fn, *args, **kwargs)
    )
