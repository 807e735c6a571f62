"""The programs (child processes) that a job starts: their CPU time, charged when they end, and their end with the job's."""

import os
import subprocess
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from multiprocessing.process import BaseProcess
from typing import Any

import psutil

from poolwise.metering.cpu_clocks import METER, Meter
from poolwise.support import family, is_running

with suppress(ImportError):  # Windows has none
    import resource

#: Functions of `os` that return the process id of a child.
_STARTING = ("fork", "posix_spawn", "posix_spawnp")
_os: Any = os
_subprocess: Any = subprocess
_BaseProcess: Any = BaseProcess
#: The jobs of child processes that have not been waited for, by process id.
_owners: dict[int, Meter] = {}
_installed: set[str] = set()
_waited_s = 0.0  # RUSAGE_CHILDREN when gevent last saw a child end
_of_others_s = 0.0


def install() -> None:
    """Charge from now on what `subprocess`, `os` and `multiprocessing` start in jobs."""
    if _installed or not hasattr(os, "wait4"):
        return
    _installed.add("native")
    init = subprocess.Popen.__init__

    def popen(self: Any, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **kwargs)
        started(self.pid)

    for name in _STARTING:
        setattr(os, name, _noting(getattr(os, name)))
    _subprocess.Popen.__init__ = popen
    _os.waitpid = _subprocess._del_safe.waitpid = _waitpid
    _install_everywhere()


def _noting(start: Callable[..., int]) -> Callable[..., int]:
    @wraps(start)
    def noted(*args: Any, **kwargs: Any) -> int:
        if pid := start(*args, **kwargs):  # 0 in a forked child
            started(pid)
        return pid

    return noted


def _install_everywhere() -> None:
    """Note what neither `subprocess` nor `os.fork` starts: by `multiprocessing` with spawn or forkserver, `os.system`."""
    start: Any = BaseProcess.start
    system = os.system

    def process_start(self: Any) -> None:
        start(self)
        if self._popen.method != "fork":
            started(self.pid)

    def shell(command: Any) -> int:
        if METER.get() is None:
            return system(command)
        status = subprocess.call(command, shell=True)  # noqa: S602 - as os.system
        return status << 8 if status >= 0 else -status

    _BaseProcess.start, _os.system = process_start, shell


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
    _install_everywhere()


def started(pid: int) -> None:
    """Note that the current job, if there is one, started the process."""
    meter = METER.get()
    if meter is not None:
        meter.programs.add(pid)
        _owners[pid] = meter


def running(meter: Meter) -> list[psutil.Process]:
    """Return the programs of the job that run now; not those that these have started."""
    found = (_running(pid, meter) for pid in tuple(meter.programs))
    return [program for program in found if program is not None]


def families(meter: Meter) -> list[psutil.Process]:
    """Return the programs of the job that run now, and what they have started; takes milliseconds if there are any."""
    return [process for program in running(meter) for process in family(program.pid)]


def _running(pid: int, meter: Meter) -> psutil.Process | None:
    # Something that we do not see may have waited for it, and its id be in use again: then it is no descendant of ours,
    # or it belongs to another job. Between us and it may be the server of `multiprocessing`, or a second fork.
    try:
        program = psutil.Process(pid)
        is_ours = any(parent.pid == os.getpid() for parent in program.parents())
    except psutil.NoSuchProcess:  # somebody that we do not see, as a server of forks, has waited for it
        if _owners.get(pid) is meter:
            del _owners[pid]
        meter.programs.discard(pid)
        return None
    except (psutil.Error, OSError):
        return None
    return program if is_ours and _owners.get(pid) is meter and is_running(program) else None


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
