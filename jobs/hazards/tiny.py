"""Jobs too small to be worth a process."""

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import IO, Annotated, Any, Literal, cast

from pydantic import Field

from jobs.data import Seed, seeded
from jobs.hazards import lessons
from poolwise import job

_CHILD = """
import json, sys
print("ready", flush=True)
for line in sys.stdin:
    print(json.dumps([sum(i * i for i in range(n)) for n in json.loads(line)]), flush=True)
"""

PlaceOfWork = Annotated[
    Literal["inline", "process", "batch"],
    Field(description="In this process, each sent to another process, or sent there in batches."),
]


@job(kind="hazard", name="hazard.tiny_jobs", title="Jobs too small for a process", lesson=lessons.TINY_JOBS)
def tiny_jobs(
    place: PlaceOfWork = "process",
    jobs: Annotated[int, Field(ge=1, le=10_000, description="Jobs to run.")] = 2000,
    rounds: Annotated[
        int, Field(ge=1, le=10_000, description="Average work of a job: rounds of a loop.")
    ] = 50,
    batch: Annotated[int, Field(ge=2, le=1000, description="Jobs per batch.")] = 100,
    seed: Seed = 1,
) -> dict[str, Any]:
    """Run many small jobs in this process, or send them to a process that is running already, and compare the cost.

    Lesson: sending a job to another process costs tens of microseconds (encoding, decoding, two wake-ups), even without
    a broker. A job that works for less gains nothing from a GIL of its own: run it in place, or send batches.
    """
    random = seeded(seed)
    sizes = [random.randrange(1, 2 * rounds + 1) for _ in range(jobs)]
    if place == "inline":
        start_s, duration_s, total = _in_place(sizes)
    else:
        start_s, duration_s, total = _elsewhere(sizes, batch if place == "batch" else 1)
    return {
        "place": place,
        "jobs": jobs,
        "batch": batch if place == "batch" else 1,
        "start_s": round(start_s, 6),
        "duration_s": round(duration_s, 6),
        "per_job_us": round(1e6 * duration_s / jobs, 3),
        "work_us": round(1e6 * min(_in_place(sizes)[1] for _ in range(3)) / jobs, 3),
        "total": total,
    }


def _in_place(sizes: Sequence[int]) -> tuple[float, float, int]:
    begin_mono = time.perf_counter()
    total = sum(sum(i * i for i in range(size)) for size in sizes)
    return 0.0, time.perf_counter() - begin_mono, total


def _elsewhere(sizes: Sequence[int], batch: int) -> tuple[float, float, int]:
    """Return the seconds to start the process, the seconds of all jobs, and the sum of the answers."""
    before_mono = time.perf_counter()
    command = [sys.executable, "-I", "-S", "-c", _CHILD]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:  # noqa: S603
        questions, answers = cast(IO[bytes], child.stdin), cast(IO[bytes], child.stdout)
        answers.readline()
        begin_mono, total = time.perf_counter(), 0
        for first in range(0, len(sizes), batch):
            questions.write(json.dumps(sizes[first : first + batch]).encode() + b"\n")
            questions.flush()
            total += sum(json.loads(answers.readline()))
        return begin_mono - before_mono, time.perf_counter() - begin_mono, total
