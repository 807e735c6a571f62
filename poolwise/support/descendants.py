"""The processes that this one, or one that it started, has started: keep them within reach, and end them."""

import ctypes
import os
import sys
import time
from collections.abc import Container
from contextlib import suppress

import psutil

from poolwise.support.native_threads import original

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
#: How long to go on killing: a process in an uninterruptible call of the kernel does not end, nor one of another user.
_PATIENCE_S = 5.0
_PAUSE_S = 0.01
#: What reading about a process raises: it has ended or is another user's, or this process has no file descriptor left.
UNREADABLE = (psutil.Error, OSError)


def adopt_orphans() -> None:
    """Become the parent of each descendant whose own parent ends; else it would be out of reach. Linux only."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent(signum: int) -> None:
    """Have this process signalled when its parent is gone, even when the parent was killed. Linux only."""
    _prctl(_PR_SET_PDEATHSIG, signum)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value)


def kill_family(pid: int) -> None:
    """Kill a process and all that it started."""
    kill_all(family(pid))


def family(pid: int) -> list[psutil.Process]:
    """Return a process and all that it has started, as far as both run."""
    try:
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]
    except UNREADABLE:
        return []


def kill_all(processes: list[psutil.Process]) -> None:
    """Kill those of the processes that still run; psutil notices a process id that was used again."""
    for process in processes:
        with suppress(*UNREADABLE):
            process.kill()


def kill_descendants(spare: Container[int] = ()) -> None:
    """Kill what this process and its children have started, until nothing of it runs; `spare` are ids of children."""
    until_mono = time.monotonic() + _PATIENCE_S
    while (left := _running_descendants(spare)) and time.monotonic() < until_mono:
        kill_all(left)  # again, if one has started another meanwhile
        original("time", "sleep")(_PAUSE_S)


def _running_descendants(spare: Container[int]) -> list[psutil.Process]:
    processes = family(os.getpid())[1:]
    return [process for process in processes if process.pid not in spare and is_running(process)]


def is_running(process: psutil.Process) -> bool:
    """Return whether the process has not ended, waited for or not."""
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except UNREADABLE:
        return False
