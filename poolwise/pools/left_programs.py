"""The programs that the current job has started and that run at its end."""

import logging

import psutil

from poolwise.metering import METER, programs
from poolwise.support import kill_all

logger = logging.getLogger(__name__)
_MOST_NAMED = 10
_MAX_COMMAND_CHARS = 100


def end() -> None:
    """Kill the programs of the current job, and what they have started: the job was stopped."""
    meter = METER.get()
    if meter is not None:
        kill_all(programs.families(meter))


def name_in_log() -> None:
    """Log, and so show on the job's page, what the current job leaves running: it ends with the worker's process."""
    meter = METER.get()
    if meter is None or not meter.programs or not (left := programs.running(meter)):
        return
    named = "; ".join(map(_named, left[:_MOST_NAMED]))
    more = f"; and {len(left) - _MOST_NAMED} more" if len(left) > _MOST_NAMED else ""
    logger.warning("This job has ended and left running, until its worker process ends: %s%s", named, more)


def _named(program: psutil.Process) -> str:
    try:
        command = " ".join(program.cmdline())
    except psutil.Error:  # it has just ended
        command = ""
    return f"pid {program.pid} {command[:_MAX_COMMAND_CHARS]}".rstrip()
