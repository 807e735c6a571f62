"""CPU time of the recorder for each job: `python -m benchmarks.recording [--postgres] [--batches 20]`.

Jobs arrive as they do under load: in each batch 100 jobs start and 100 end, most of them the same. The figure is the CPU
time of this process alone; a database server's own is not in it.
"""

import argparse
import itertools
import os
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from dev.own_postgres import OwnPostgres

JOBS_A_BATCH = 100


def main() -> None:
    """Print the median over batches."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--postgres", action="store_true", help="a PostgreSQL server of its own instead of SQLite"
    )
    parser.add_argument("--batches", type=int, default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="poolwise-recording-") as name, ExitStack() as cleanup:
        os.environ["DATABASE_URL"] = f"sqlite:///{Path(name) / 'database.sqlite3'}"
        if options.postgres:
            server = OwnPostgres(Path(name))
            server.create()
            server.start()
            cleanup.callback(server.stop)
            os.environ["DATABASE_URL"] = server.url
        _set_up()
        took_s = _measure(options.batches)
    us = [seconds / JOBS_A_BATCH * 1e6 for seconds in took_s]
    low, high = min(us), max(us)
    print(f"{statistics.median(us):.0f} µs of CPU a job ({low:.0f} to {high:.0f}, {len(us)} batches)")


def _set_up() -> None:
    import django
    from django.core.management import call_command

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
    django.setup()
    call_command("migrate", verbosity=0)


def _measure(batches: int) -> list[float]:
    from poolwise.lifecycle import recorder
    from poolwise.models import Job

    jobs = [
        Job(definition="io.wait", kind="io", params={"duration_s": 0.1}, pool="threads")
        for _ in range((batches + 1) * JOBS_A_BATCH)
    ]
    Job.objects.bulk_create(jobs, batch_size=500)
    took_s = []
    ended: list[Any] = []
    for batch in itertools.batched(jobs, JOBS_A_BATCH, strict=True):
        pairs = [_entries(str(job.pk)) for job in batch]
        # The ends of the jobs that the batch before started, and of most that this one starts.
        entries = [
            *ended,
            *itertools.chain.from_iterable(pairs[:-10]),
            *(started for started, _ in pairs[-10:]),
        ]
        ended = [outcome for _, outcome in pairs[-10:]]
        begin_s = time.process_time()
        recorded = recorder.record(entries)
        took_s.append(time.process_time() - begin_s)
        if recorded.stale or recorded.unknown:
            sys.exit(f"not all entries counted: {recorded.counts()}")
    return took_s[1:]


def _entries(job_id: str) -> tuple[Any, Any]:
    from poolwise.lifecycle.stream import Ending, Outcome, Place, Started
    from poolwise.support import Timings, wall_now

    now = wall_now()
    place = Place("threads-5a9c1d@host", 4711, "ThreadPoolExecutor-0_3", "")
    started = Timings(published_at=now - 0.2, received_at=now - 0.1, started_at=now, broker_wait_s=0.1)
    ended = Timings(
        published_at=now - 0.2, received_at=now - 0.1, started_at=now, finished_at=now + 0.1, broker_wait_s=0.1,
        worker_wait_s=0.1, run_s=0.1, cpu_s=0.001,
    )  # fmt: skip
    return (
        Started(job_id, 1, place, started),
        Outcome(job_id, 1, place, ended, Ending.SUCCEEDED, result="0.1"),
    )


if __name__ == "__main__":
    main()
