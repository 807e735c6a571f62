"""A private platform for the benchmark: Redis, database, coordinator, a worker per pool, HTTP server, PostgreSQL."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from django.core.management import call_command

from benchmarks import live
from benchmarks.answers.cases import SLOTS
from dev import redis_server
from dev.own_postgres import OwnPostgres, PostgresError
from dev.ports import LOOPBACK, free_port

#: More than the slots of a pool: each connects.
_CONNECTIONS = 300


@contextmanager
def platform(*, sql: bool) -> Iterator[Path]:
    """Run everything that the cases need and set Django up; yield the directory with the logs."""
    with tempfile.TemporaryDirectory(prefix="poolwise-answers-") as name, ExitStack() as cleanup:
        directory = Path(name)
        redis = cleanup.enter_context(redis_server.running(directory / "redis", durable=False))
        pools = {pool: {"model": pool, "queue": pool, "concurrency": slots} for pool, slots in SLOTS.items()}
        os.environ |= {
            "DJANGO_SETTINGS_MODULE": "benchmarks.answers.settings",
            "REDIS_URL": redis.url,
            "BROKER_URL": redis.url,
            "DATABASE_URL": f"sqlite:///{name}/database.sqlite3",
            "JOB_POOLS": json.dumps(pools),
            "JOB_HTTP_DEMO_URL": f"http://{LOOPBACK}:{free_port()}",
            "LOG_LEVEL": "WARNING",
            "ANSWERS_SQL_URL": cleanup.enter_context(_postgres(directory)) if sql else "",
        }
        live.set_up()
        call_command("migrate", verbosity=0)
        for arguments in (("demoserver",), ("coordinator",), *(("pool", pool) for pool in SLOTS)):
            cleanup.enter_context(live.running(directory, *arguments))
        live.wait_until_up(directory, tuple(SLOTS))
        yield directory


@contextmanager
def _postgres(directory: Path) -> Iterator[str]:
    """Run a PostgreSQL; yield its URL, empty if none is installed."""
    try:
        server = OwnPostgres(directory)
    except PostgresError:
        yield ""
        return
    server.create()
    with (server.data / "postgresql.conf").open("a") as settings:
        settings.write(f"max_connections = {_CONNECTIONS}\n")
    server.start()
    try:
        yield server.url
    finally:
        server.stop()


@contextmanager
def busy_core() -> Iterator[None]:
    """Keep one core busy with another process."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"], start_new_session=True)
    try:
        yield
    finally:
        process.kill()
        process.wait()
