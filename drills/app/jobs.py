"""The drills' job: each run appends one line to a file that Poolwise knows nothing about."""

import asyncio
import json
import os
import time
from pathlib import Path
from typing import Annotated

from pydantic import Field

from drills.app.crash_points import reach
from poolwise import AttemptContext, job

RUN_LOG = Path(os.environ["POOLWISE_DRILL_FOLDER"]) / "runs"
#: Far more than a drill takes from one job, so that running out of attempts is a fault.
MAX_ATTEMPTS = 10

Duration = Annotated[float, Field(ge=0, le=60, description="Seconds to wait after the line is written.")]


def note(context: AttemptContext) -> None:
    """Append the line of this run; one write to a file opened O_APPEND, so that no two lines mix."""
    line = {"job": context.job_id, "attempt": context.attempt, "pid": os.getpid(), "t": time.time()}
    file = os.open(RUN_LOG, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, json.dumps(line).encode() + b"\n")
    finally:
        os.close(file)


def _effect(context: AttemptContext) -> None:
    reach("before the effect", context.pool)
    note(context)
    reach("after the effect", context.pool)


@job(kind="io", name="drill.effect", title="Drill", takes_context=True, max_attempts=MAX_ATTEMPTS)
def effect(context: AttemptContext, duration_s: Duration = 0.0) -> dict[str, int]:
    """Append a line to the run log, then wait."""
    _effect(context)
    time.sleep(duration_s)
    return {"attempt": context.attempt}


@effect.asyncio
async def _effect_on_loop(context: AttemptContext, duration_s: float) -> dict[str, int]:
    _effect(context)
    await asyncio.sleep(duration_s)
    return {"attempt": context.attempt}
