"""How a job in a prefork child learns why its process is being ended."""

import signal

from billiard.common import terminate_handler_fired  # type: ignore[attr-defined]

from jobs.pools.interrupts import Interrupted, RevokedStop, ShutdownStop

#: Sent to the child of a job that is cancelled, so that it can tell this from the SIGTERM of a shutdown.
#: billiard turns both into SystemExit.
REVOKE_SIGNAL = "SIGHUP"


def stop_behind(error: BaseException) -> Interrupted | None:
    """Return the stop that a SystemExit stands for; None where the job itself asked to exit.

    billiard turns a signal into SystemExit with the code `-(256 - signal number)`.
    """
    if not isinstance(error, SystemExit) or not terminate_handler_fired():
        return None
    revoked = error.code == -(256 - getattr(signal, REVOKE_SIGNAL))
    return RevokedStop() if revoked else ShutdownStop()
