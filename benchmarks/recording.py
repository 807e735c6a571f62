"""CPU time of recording for each job: `python -m benchmarks.recording [--postgres] [--batches 20] [--jobs 100]`.

Jobs arrive as they do under load: in each batch as many start as end, most of them the same. Signatures are verified and
entries parsed as by the coordinator; only reading them from Redis is not in it. The database server's own CPU time is
printed beside that of this process.
"""

import argparse
import itertools
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil

from dev.own_postgres import OwnPostgres


def main() -> None:
    """Print the median over batches."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--postgres", action="store_true", help="a PostgreSQL server of its own instead of SQLite"
    )
    parser.add_argument("--batches", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=100, help="jobs that start, and that end, in each batch")
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
        servers_cpu_s = _cpu_s_of(server) if options.postgres else float
        took = _measure(options.batches, options.jobs, servers_cpu_s)
    for name, seconds in zip(("recorder", "database server"), zip(*took, strict=True), strict=True):
        us = [each / options.jobs * 1e6 for each in seconds]
        if any(us):
            print(
                f"{name}: {statistics.mean(us):.0f} µs of CPU a job "
                f"(median {statistics.median(us):.0f}, {min(us):.0f} to {max(us):.0f}, {len(us)} batches)"
            )


def _cpu_s_of(server: OwnPostgres) -> Callable[[], float]:
    assert server.process is not None
    parent = psutil.Process(server.process.pid)

    def cpu_s() -> float:
        times = [each.cpu_times() for each in (parent, *parent.children())]
        return sum(each.user + each.system for each in times)

    return cpu_s


def _set_up() -> None:
    import django
    from django.core.management import call_command

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
    django.setup()
    call_command("migrate", verbosity=0)


def _measure(batches: int, size: int, servers_cpu_s: Callable[[], float]) -> list[tuple[float, float]]:
    """Return for each batch but the first the CPU time of this process and of the database server, in seconds."""
    from poolwise.coordinator import recording
    from poolwise.lifecycle import stream
    from poolwise.models import Job

    jobs = [
        Job(definition="io.wait", kind="io", params={"duration_s": 0.1}, pool="threads")
        for _ in range((batches + 1) * size)
    ]
    Job.objects.bulk_create(jobs, batch_size=500)
    took = []
    ended: list[Any] = []
    late = max(1, size // 10)
    for batch in itertools.batched(jobs, size, strict=True):
        pairs = [_entries(str(job.pk)) for job in batch]
        # The ends of the jobs that the batch before started, and of most that this one starts.
        entries = [
            *ended,
            *itertools.chain.from_iterable(pairs[:-late]),
            *(started for started, _ in pairs[-late:]),
        ]
        ended = [outcome for _, outcome in pairs[-late:]]
        raw = [("0-1", stream.encode(entry)) for entry in entries]
        servers_begin_s, begin_s = servers_cpu_s(), time.process_time()
        recording._record(_NoStream(), raw)  # type: ignore[arg-type]
        took.append((time.process_time() - begin_s, servers_cpu_s() - servers_begin_s))
    expected = batches * size + size - late
    if (recorded := Job.objects.ended().count()) != expected:
        sys.exit(f"{recorded} of {expected} jobs have ended")
    return took[1:]


class _NoStream:
    """A reader whose entries need no acknowledgement."""

    def acknowledge(self, ids: Sequence[str]) -> None:
        """Do nothing."""


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
