"""How a supervisor learns that its worker ended for the sake of a job, and not by a fault of its own: by a file.

The watchdog ends its worker by SIGKILL, so the exit status does not show it.
"""

import os
from contextlib import suppress
from pathlib import Path

#: The environment variable with the path of the file, which exists once the worker ends for the sake of a job.
ENDED_FOR_JOB_VARIABLE = "POOLWISE_ENDED_FOR_JOB"


def note_end_for_job() -> None:
    """Note that this worker ends for the sake of a job; do nothing without a supervisor."""
    if path := os.environ.get(ENDED_FOR_JOB_VARIABLE):
        with suppress(OSError):  # then it is started again after a pause
            Path(path).touch()


def forget_end_for_job(path: Path) -> bool:
    """Return whether the worker that has ended noted that, and remove the note."""
    was_noted = path.exists()
    path.unlink(missing_ok=True)
    return was_noted
