"""How a job in a prefork child learns why its process is being ended."""

import signal
import threading
from contextlib import suppress

import psutil
from billiard.common import terminate_handler_fired  # type: ignore[attr-defined]

from poolwise.pools.interrupts import Interrupted, RevokedStop, ShutdownStop

#: Sent to the child of a job that is cancelled, so that it can tell this from the SIGTERM of a shutdown.
#: billiard turns both into SystemExit.
REVOKE_SIGNAL = "SIGHUP"


#: A child within one call of C does not see a signal; asked to stop, it gets so long, then it is killed.
_KILL_AFTER_S = 2.0


def kill_if_unresponsive(pid: int, after_s: float = _KILL_AFTER_S) -> None:
    """Kill a child that was sent a signal to end and has not ended in time."""
    try:
        child = psutil.Process(pid)
    except psutil.Error:
        return
    timer = threading.Timer(after_s, _kill, (child,))
    timer.daemon = True
    timer.start()


def _kill(child: psutil.Process) -> None:
    with suppress(psutil.Error):  # it has ended; psutil knows whether its number is another's by now
        child.kill()


def stop_behind(error: BaseException) -> Interrupted | None:
    """Return the stop that a SystemExit stands for; None where the job itself asked to exit.

    billiard turns a signal into SystemExit with the code `-(256 - signal number)`.
    """
    if not isinstance(error, SystemExit) or not terminate_handler_fired():
        return None
    revoked = error.code == -(256 - getattr(signal, REVOKE_SIGNAL))
    return RevokedStop() if revoked else ShutdownStop()
