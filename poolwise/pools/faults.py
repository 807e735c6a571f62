"""What ends a worker from within, in a form that shows which of its jobs did it: so its neighbours are not blamed."""

import faulthandler
import os
import signal
from functools import wraps

from poolwise.pools import forked
from poolwise.pools.request import CURRENT


def install(descriptor: int) -> None:
    """Write to this file why a job ends this process: by a fault in C code, `os.abort`, `os._exit` or its own SIGKILL.

    The text has the form of `faulthandler`: the reason, and the stacks of the threads, of which one is the current one.
    """
    faulthandler.enable(descriptor)
    forked.at_fork(faulthandler.disable)
    worker, exit_, kill = os.getpid(), os._exit, os.kill

    def note(reason: str) -> None:
        if os.getpid() == worker and CURRENT.get() is not None:
            os.write(descriptor, f"Fatal Python error: {reason}\n\n".encode())
            faulthandler.dump_traceback(descriptor)

    @wraps(exit_)
    def noted_exit(status: int) -> None:
        note(f"os._exit({status})")
        exit_(status)

    @wraps(kill)
    def noted_kill(pid: int, signal: int) -> None:
        if pid == worker and signal == _SIGKILL:
            note("os.kill by SIGKILL")
        kill(pid, signal)

    os._exit, os.kill = noted_exit, noted_kill  # type: ignore[assignment]


_SIGKILL = signal.SIGKILL
