"""Processes that jobs start on gevent: a forked one runs on with one greenlet, and nobody waits for one in the hub.

A fork copies the hub with all greenlets: as soon as the copy waits, it would go on with the other jobs, and the consumer.
`multiprocessing` waits for its pipes and semaphores within C, which would block the hub.
"""

import gc
import os
import time
from collections.abc import Callable
from functools import wraps
from multiprocessing import connection, popen_spawn_posix, process, synchronize
from typing import Any

import gevent
import greenlet
from gevent import _hub_local, socket, subprocess
from gevent import os as gevent_os
from gevent.hub import Hub

from poolwise.pools import forked
from poolwise.support import original

NO_PROCESSES = (
    "A coroutine runs beside gevent's hub, where no process can be started: run the job on asyncio, threads or prefork, "
    "or start the process in a plain function."
)
#: A write of this size to a pipe that is ready does not wait (POSIX).
_PIPE_BYTES = 4096
_SHORTEST_PAUSE_S, _LONGEST_PAUSE_S = 0.001, 0.02
_native_ident = original("_thread", "get_ident")
_kept: list[object] = []
_multiprocessing: Any = (
    popen_spawn_posix.Popen,
    process.BaseProcess,
    connection.Connection,
    synchronize.SemLock,
)


def install() -> None:
    """Let jobs fork, and use `multiprocessing`, from now on; call it in the hub's thread."""
    if _kept:
        return
    _kept.append(None)
    forked.install(leave_hub)
    spawn_class, process_class, connection_class, semaphore_class = _multiprocessing
    spawn_class._launch = _watched(spawn_class._launch)
    checked = _only_in(_native_ident())
    process_class.start = checked(process_class.start)
    gevent_module: Any = subprocess
    gevent_module.fork_and_watch = checked(gevent_module.fork_and_watch)
    os_module: Any = os
    os_module.fork, os_module.forkpty = checked(os.fork), checked(os.forkpty)
    connection_class._recv.__defaults__, connection_class._send.__defaults__ = (_read,), (_write,)
    semaphore_class._make_methods, semaphore_class.__enter__ = _make_methods, _enter


# --- forks


def leave_hub() -> None:
    """Give this forked process a hub of its own: the present greenlet goes on, alone, and the process ends with it."""
    hub, current = _hub_local.get_hub_if_exists(), greenlet.getcurrent()
    if hub is None or current is hub:
        return
    gc.freeze()  # a greenlet that is collected would run its `finally` here
    _kept.append(hub)  # likewise
    gevent_os._watched_children.clear()
    hub.loop.destroy()  # there is one default loop, the only one that can wait for children
    root = current
    while root.parent is not None:
        root = root.parent
    if isinstance(current, gevent.Greenlet):
        current.unlink_all()  # who waits for it waits in the parent
    end = greenlet.greenlet(_live if current is not root else _live_in_root, root)
    end.switch(current)


def _live(current: Any) -> None:
    try:
        current.parent = _new_hub()  # its own parent is this greenlet
        current.switch()
    finally:  # nothing is left to do or to wait for
        is_done = current.dead and getattr(current, "exception", None) is None
        os._exit(0 if is_done else 1)


def _live_in_root(current: Any) -> None:
    _new_hub().parent = current


def _new_hub() -> Any:
    hub = Hub(default=True)
    _hub_local.set_hub(hub)
    return hub


# --- starts


def _only_in(thread: int) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator that refuses calls outside the hub's thread: the hub could not wait for the process."""

    def decorate(start: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(start)
        def checked(*args: Any, **kwargs: Any) -> Any:
            if _native_ident() != thread:
                raise NotImplementedError(NO_PROCESSES)
            return start(*args, **kwargs)

        return checked

    return decorate


def _watched(launch: Callable[..., None]) -> Callable[..., None]:
    @wraps(launch)
    def watched(self: Any, process_object: Any) -> None:
        launch(self, process_object)
        gevent_os._watch_child(
            self.pid
        )  # the hub waits for all children; only of those watched it keeps the status

    return watched


# --- waits


def _read(descriptor: int, size: int) -> bytes:
    socket.wait_read(descriptor)
    return os.read(descriptor, size)


def _write(descriptor: int, data: Any) -> int:
    socket.wait_write(descriptor)
    return os.write(descriptor, memoryview(data)[:_PIPE_BYTES])


def _acquire(semaphore: Any, block: bool = True, timeout: float | None = None) -> bool:
    until_mono = None if timeout is None else time.monotonic() + timeout
    pause_s = _SHORTEST_PAUSE_S
    while not semaphore.acquire(False):
        if not block or (until_mono is not None and time.monotonic() >= until_mono):
            return False
        gevent.sleep(pause_s)
        pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
    return True


def _make_methods(self: Any) -> None:
    semaphore = self._semlock
    self.acquire = lambda block=True, timeout=None: _acquire(semaphore, block, timeout)
    self.release = semaphore.release


def _enter(self: Any) -> bool:
    return _acquire(self._semlock)
