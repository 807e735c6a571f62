"""The Linux kernel's figures of a thread: how long it waited for a core, and how often it gave one up."""

import ctypes
import os
import sys
from contextlib import suppress
from math import nan
from typing import Any

from poolwise.support import original

with suppress(ImportError):  # Windows has none
    import resource

_BYTES = 96
_PATH = "/proc/thread-self/schedstat"

#: Elsewhere the off-CPU time of a job is not split.
IS_LINUX = sys.platform == "linux" and os.path.exists(_PATH)


def _pread_with_gil() -> Any:
    # os.pread releases the GIL, and a computing thread would keep it for 5 ms: the probe must not add to what it measures.
    function = ctypes.PyDLL(None).pread
    function.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_long]
    function.restype = ctypes.c_ssize_t
    return function


class RunQueue:
    """The run-queue wait of the thread that made this object; its file stays open, so that a reading takes 2 µs."""

    __slots__ = ("_address", "_buffer", "_file", "_read")

    def __init__(self) -> None:
        self._file = os.open(_PATH, os.O_RDONLY | os.O_CLOEXEC)
        self._buffer = ctypes.create_string_buffer(_BYTES)
        self._address = ctypes.addressof(self._buffer)
        self._read = _pread_with_gil()

    def waited_s(self) -> float:
        """Return the seconds that the thread has waited for a core since it began."""
        if self._read(self._file, self._address, _BYTES - 1, 0) <= 0:
            return 0.0
        return int(self._buffer.value.split(None, 2)[1]) / 1e9

    def __del__(self) -> None:
        # After a fork, the copy in the child has its own descriptor.
        if hasattr(self, "_file"):
            os.close(self._file)


# Per OS thread, under gevent too: the greenlets of a thread share its wait.
_of_thread: Any = original("_thread", "_local")()


def _forget() -> None:
    global _of_thread
    _of_thread = original("_thread", "_local")()


if IS_LINUX:
    # The parent's open file does not describe the thread of a forked child.
    os.register_at_fork(after_in_child=_forget)


def waited_s() -> float:
    """Return the run-queue wait of the calling OS thread so far, in seconds; 0 where the kernel has no such figure.

    NaN while no file descriptor is free.
    """
    if not IS_LINUX:
        return 0.0
    try:
        queue: RunQueue = _of_thread.queue
    except AttributeError:
        try:
            queue = _of_thread.queue = RunQueue()
        except OSError:
            return nan
    return queue.waited_s()


def switches() -> int:
    """Return how often the calling OS thread gave up its core by itself, once for each wait."""
    return resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw if IS_LINUX else 0
