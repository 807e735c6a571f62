"""CPU time of the programs (child processes) that a job starts: charged to the job when its process ends."""

import os
import subprocess
from contextlib import suppress
from typing import Any

from poolwise.metering.cpu_clocks import METER, Meter

with suppress(ImportError):  # Windows has none
    import resource

_os: Any = os
_subprocess: Any = subprocess
#: The jobs of child processes that have not been waited for, by process id.
_owners: dict[int, Meter] = {}
_installed: set[str] = set()
_waited_s = 0.0  # RUSAGE_CHILDREN when gevent last saw a child end
_of_others_s = 0.0


def install() -> None:
    """Charge from now on what `subprocess`, `os.fork` and so `multiprocessing` start in jobs."""
    if _installed or not hasattr(os, "wait4"):
        return
    _installed.add("native")
    fork, init = os.fork, subprocess.Popen.__init__

    def forked() -> int:
        if pid := fork():
            started(pid)
        return pid

    def popen(self: Any, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **kwargs)
        started(self.pid)

    _os.fork, _subprocess.Popen.__init__ = forked, popen
    _os.waitpid = _subprocess._del_safe.waitpid = _waitpid


def install_on_gevent() -> None:
    """Charge from now on what jobs start: gevent's hub waits for all children, one after the other."""
    import gevent.os as gevent_os

    if _installed:
        return
    _installed.add("gevent")
    watch, on_child = gevent_os._watch_child, gevent_os._on_child

    def watched(pid: int, *args: Any) -> None:
        started(pid)
        watch(pid, *args)

    def ended(watcher: Any, callback: Any) -> None:
        global _waited_s
        used_s, _waited_s = waited_for_s() - _waited_s, waited_for_s()
        _charge(watcher.pid, used_s)
        on_child(watcher, callback)

    gevent_os._watch_child, gevent_os._on_child = watched, ended


def started(pid: int) -> None:
    """Note that the current job, if there is one, started the process."""
    meter = METER.get()
    if meter is not None:
        meter.programs.add(pid)
        _owners[pid] = meter


def waited_for_s() -> float:
    """Return the CPU seconds of all children of this process that were waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def of_others_s() -> float:
    """Return the part of `waited_for_s` of children that a job left behind and a later one waited for."""
    return _of_others_s


def _waitpid(pid: int, options: int, /) -> tuple[int, int]:
    # As os.waitpid, which does not return what the child used.
    ended, status, usage = os.wait4(pid, options)
    if ended:
        _charge(ended, usage.ru_utime + usage.ru_stime)
    return ended, status


def _charge(pid: int, used_s: float) -> None:
    global _of_others_s
    current = METER.get()
    meter = _owners.pop(pid, current)
    if meter is None:
        return
    meter.programs.discard(pid)
    meter.programs_s.append(used_s)
    if meter is not current:
        _of_others_s += used_s
