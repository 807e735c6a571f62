"""The process of a prefork job: its CPU time, why it is being ended, and what if it does not end."""

import os
import signal
import threading
import time
from multiprocessing import process as processes
from typing import Any

import psutil
from billiard import current_process
from billiard.common import terminate_handler_fired  # type: ignore[attr-defined]
from celery.signals import worker_process_init, worker_process_shutdown

from poolwise.metering import Meter, programs
from poolwise.pools import forked
from poolwise.pools.interrupts import Why
from poolwise.support import close_inherited, die_with_parent, family, kill_all

#: Sent to the child of a job that is cancelled; a shutdown sends SIGTERM. billiard turns both into SystemExit.
REVOKE_SIGNAL = "SIGHUP"

#: A child inside a call of C does not handle signals; after this time it is killed.
_KILL_AFTER_S = 2.0
#: Not before its signal reaches the child, whose job would else see its program killed and not its own limit.
_END_PROGRAMS_AFTER_S = 0.5
#: How many causes of an error are followed: they may form a circle.
_LONGEST_CHAIN = 100


#: Celery looks for ended children every 5 s.
_LOOK_EVERY_S = 0.25

_child_pids: set[int] = set()


@worker_process_init.connect(weak=False)
def _begin_child(**_: object) -> None:
    if current_process().name != "MainProcess":  # the pool solo sends the signal, too
        _child_pids.add(os.getpid())
        die_with_parent(signal.SIGKILL)  # its job runs again at once on another worker
        programs.install()
        _let_jobs_start_processes()


def _let_jobs_start_processes() -> None:
    close_inherited()
    forked.install(forked.Pipes().close)
    worker_process_shutdown.connect(_end_children, weak=False)
    standard: Any = processes
    process: Any = current_process()
    process._config["daemon"] = False  # `multiprocessing` refuses a daemon; this process ends what jobs leave
    # billiard's own kind of key would refuse to be passed to a process started by "spawn".
    process._config["authkey"] = standard.AuthenticationString(process._config["authkey"])


def _end_children(**_: object) -> None:
    forked.end_children()


def look_for_ended_children(consumer: Any) -> None:
    """Have a worker look often for children that have ended: what they ran is to run again soon.

    Celery also looks when a child's pipe closes, but the kernel closes it before the child can be waited for.
    """
    maintain_pool = getattr(consumer.pool, "maintain_pool", None)
    if consumer.hub is not None and maintain_pool is not None:
        consumer.hub.call_repeatedly(_LOOK_EVERY_S, maintain_pool)


def is_child() -> bool:
    """Return whether this process runs the jobs of a prefork pool, one at a time."""
    return os.getpid() in _child_pids


def cpu_s(meter: Meter | None) -> float:
    """Return the CPU seconds of this process and of programs, without those that earlier jobs left behind."""
    running_s = 0.0 if meter is None else meter.running_programs_s()
    return time.process_time() + programs.waited_for_s() - programs.of_others_s() + running_s


def kill_if_unresponsive(pid: int | None, after_s: float = _KILL_AFTER_S) -> None:
    """Kill a child that got a signal to end, if it has not ended after `after_s`; `pid` is None if no child is known."""
    if not pid:  # psutil would take this process
        return
    try:
        child = psutil.Process(pid)
    except psutil.Error:
        return
    timer = threading.Timer(after_s, _kill, (child,))
    timer.daemon = True
    timer.start()


def _kill(child: psutil.Process) -> None:
    if child.is_running():  # psutil detects a reused pid
        kill_all(family(child.pid))


def end_programs_of(pid: int | None, after_s: float = _END_PROGRAMS_AFTER_S) -> None:
    """Kill, after `after_s`, what a child has started so far: it is about to end, with its job. None: no child is known."""
    if not pid:  # psutil would take this process, and its children
        return
    timer = threading.Timer(after_s, kill_all, (family(pid)[1:],))
    timer.daemon = True
    timer.start()


def is_ending() -> bool:
    """Return whether a signal ends this process, which raised SystemExit wherever the job was."""
    return bool(terminate_handler_fired())


def exit_behind(error: BaseException) -> SystemExit | None:
    """Return the SystemExit by which a signal ends this process, if the body raised it, or this error in its place."""
    cause: BaseException | None = error if is_ending() else None
    for _ in range(_LONGEST_CHAIN):
        if cause is None or isinstance(cause, SystemExit):
            return cause
        cause = cause.__cause__ or cause.__context__
    return None


def why_of(stop: SystemExit) -> Why:
    """Return why a signal ends this process; billiard exits with the code `-(256 - signal number)`."""
    is_revoked = stop.code == -(256 - getattr(signal, REVOKE_SIGNAL))
    return Why.REVOKED if is_revoked else Why.SHUTDOWN
