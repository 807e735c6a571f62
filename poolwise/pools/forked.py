"""Processes that jobs fork: each runs the code that forked it, and nothing of the worker of which it is a copy.

It neither fetches nor reports nor is it watched, signals have Python's default handlers in it, and what its worker had
connected is closed or unused. So `multiprocessing` works in jobs, on prefork too.
"""

import asyncio
import multiprocessing
import os
import signal
import stat
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import util
from typing import Any, NoReturn

from celery import _state
from kombu import pools as kombu_pools

from poolwise.pools.connections import forget_inherited
from poolwise.support import close_descriptor, close_inherited

_TERMINATE_S = 1.0
#: Pools replace a process that ends, so they must be ended first.
_OWN_FINALIZERS = ("multiprocessing.pool", "multiprocessing.managers")
_calls: list[Callable[[], object]] = []
_forking = threading.local()
_multiprocessing_util: Any = util
_celery_state: Any = _state
_is_installed = _is_child = False


def install(*calls: Callable[[], object]) -> None:
    """Reset from now on each process that this one forks; make these calls in it first."""
    global _is_installed
    if not _is_installed:
        _is_installed = True
        _calls[:0] = [*calls, _leave_loop]
        os.register_at_fork(before=_begin_fork, after_in_parent=_end_fork, after_in_child=_begin_child)


def at_fork(call: Callable[[], object]) -> None:
    """Make the call in each process that this one forks."""
    _calls.append(call)


def run[T](call: Callable[[], T]) -> T:
    """Return `call()`; a process that it forked ends where it returns, for what follows is the worker's."""
    pid = os.getpid()
    try:
        value = call()
    except BaseException as error:
        end_if_forked(pid, error)
        raise
    end_if_forked(pid)
    return value


def end_if_forked(pid: int, error: BaseException | None = None) -> None:
    """End this process if it was forked from that one, with the status that Python gives to the error."""
    if os.getpid() != pid:
        _end(error)


def end_children() -> None:
    """End the processes that jobs started by `multiprocessing` and left running."""
    for finalizer in tuple(
        _multiprocessing_util._finalizer_registry.values()
    ):  # that of kombu waits for its turn
        if finalizer._callback.__module__ in _OWN_FINALIZERS:
            finalizer()
    children = multiprocessing.active_children()
    for child in children:
        child.terminate()
    until_mono = time.monotonic() + _TERMINATE_S
    for child in children:
        child.join(max(0.0, until_mono - time.monotonic()))
        child.kill()


def _end(error: BaseException | None) -> NoReturn:
    status = 0
    if isinstance(error, SystemExit) and (error.code is None or isinstance(error.code, int)):
        status = error.code or 0
    elif error is not None:
        traceback.print_exception(error)
        status = 1
    with suppress(Exception):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(status)


def _begin_fork() -> None:
    _forking.loop = asyncio._get_running_loop()
    # A signal that reaches the child before its handlers are reset would be lost: `terminate()` soon after the start.
    _forking.mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())


def _end_fork() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _forking.mask)


def _leave_loop() -> None:
    end_with_step = getattr(_forking.loop, "end_with_step", None)
    if end_with_step is not None:
        end_with_step()


def _begin_child() -> None:
    global _is_child
    is_first, _is_child = not _is_child, True
    for call in (
        *_calls,
        *((_default_signals, close_inherited, _forget_publishers, forget_inherited) * is_first),
    ):
        try:
            call()
        except Exception:  # one that fails must not keep the others from being made
            traceback.print_exc()
    _end_fork()


def _default_signals() -> None:
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals():
        if callable(handler := signal.getsignal(number)) and handler is not signal.default_int_handler:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


def _forget_publishers() -> None:
    for group in (kombu_pools.connections, kombu_pools.producers):
        group.clear()
    for app in _celery_state._get_active_apps():
        app._after_fork()


class Pipes:
    """The pipes that this process has now, apart from the standard streams: those between a worker and its child."""

    def __init__(self) -> None:
        self._pipes = {fd: found for fd in map(int, os.listdir("/dev/fd")) if fd > 2 and (found := _pipe(fd))}

    def close(self) -> None:
        """Close those that are still open: else they would seem in use after this process' parent has ended."""
        for descriptor, pipe in self._pipes.items():
            if _pipe(descriptor) == pipe:
                close_descriptor(descriptor)


def _pipe(descriptor: int) -> tuple[int, int] | None:
    with suppress(OSError):
        status = os.fstat(descriptor)
        return (status.st_dev, status.st_ino) if stat.S_ISFIFO(status.st_mode) else None
    return None
