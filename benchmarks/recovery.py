"""CPU time of an idle coordinator while jobs wait: `python -m benchmarks.recovery [--postgres] [--queued 0,20000,100000]`.

No worker runs. Each figure is the CPU time of the coordinator for a second, over `--seconds`, and beside it that of Redis
and of the database's server. The machine's PostgreSQL programs and redis-server are used, in a directory of their own.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import psutil

from dev.own_postgres import OwnPostgres
from dev.own_redis import OwnRedis

_SETTLE_S = 10.0


def main() -> None:
    """Print a line for each number of jobs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--postgres", action="store_true", help="a PostgreSQL server of its own instead of SQLite"
    )
    parser.add_argument("--queued", default="0,20000,100000", help="numbers of jobs that wait, rising")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long to measure each")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="poolwise-recovery-") as name, ExitStack() as cleanup:
        directory = Path(name)
        os.environ["DATABASE_URL"] = f"sqlite:///{directory / 'database.sqlite3'}"
        servers = {}
        if options.postgres:
            postgres = OwnPostgres(directory)
            postgres.create()
            postgres.start()
            cleanup.callback(postgres.stop)
            os.environ["DATABASE_URL"] = postgres.url
            servers["PostgreSQL"] = postgres.process
        redis = OwnRedis(directory)
        redis.start()
        cleanup.callback(redis.kill)
        servers["Redis"] = redis.process
        os.environ["REDIS_URL"] = redis.url
        _set_up()
        stored = 0
        for queued in map(int, options.queued.split(",")):
            _publish(queued - stored)
            stored = queued
            print(f"{queued} queued: {_measure(options.seconds, servers)}", flush=True)


def _set_up() -> None:
    import django
    from django.core.management import call_command

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
    django.setup()
    call_command("migrate", verbosity=0)


def _publish(count: int) -> None:
    """Store jobs and publish their messages, as a submission does."""
    from poolwise.lifecycle import publishing
    from poolwise.models import Job

    for start in range(0, count, 1000):
        jobs = [
            Job(definition="io.wait", kind="io", params={"duration_s": 0.1}, pool="threads")
            for _ in range(min(1000, count - start))
        ]
        Job.objects.bulk_create(jobs)
        if publishing.publish(jobs, budget_s=60.0) < len(jobs):
            sys.exit("Redis does not take the messages")


def _measure(seconds: float, servers: dict[str, "subprocess.Popen[bytes] | None"]) -> str:
    """Run a coordinator; return the CPU time of each process, in percent of a core."""
    coordinator = subprocess.Popen([sys.executable, "manage.py", "coordinator"], stdout=subprocess.DEVNULL)
    try:
        processes = {
            name: psutil.Process(process.pid)
            for name, process in {"coordinator": coordinator, **servers}.items()
            if process is not None
        }
        time.sleep(_SETTLE_S)  # it starts, and reads once
        before = {name: _cpu_s(process) for name, process in processes.items()}
        time.sleep(seconds)
        shares = {name: (_cpu_s(process) - before[name]) / seconds for name, process in processes.items()}
        return ", ".join(f"{name} {share:.1%}" for name, share in shares.items())
    finally:
        coordinator.terminate()
        coordinator.wait(15)


def _cpu_s(process: psutil.Process) -> float:
    times = [each.cpu_times() for each in (process, *process.children(recursive=True))]
    return sum(each.user + each.system for each in times)


if __name__ == "__main__":
    main()
