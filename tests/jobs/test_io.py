"""Jobs that wait, against real files, sockets and services."""

import asyncio
import hashlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from django.conf import settings as site
from django.db import connection

from jobs.data import MIB, seeded
from poolwise import definitions
from poolwise.support.errors import InvalidParameters, Unavailable
from tests.helpers.pace import limit_s
from tests.jobs.conftest import Bodies

on_postgresql = "postgresql" in site.DATABASES["default"]["ENGINE"]


def test_a_wait_lasts_as_long_as_given(run: Bodies) -> None:
    begin = time.monotonic()
    assert run("io.wait", duration_s=0.05) == [0.05, 0.05]
    assert 0.1 <= time.monotonic() - begin < limit_s(2)


def test_many_waits_share_one_loop(run: Bodies) -> None:
    body = definitions.get("io.wait").async_body

    async def hundred() -> list[Any]:
        return await asyncio.gather(*(body(duration_s=0.1) for _ in range(100)))

    begin = time.monotonic()
    assert asyncio.run(hundred()) == [0.1] * 100
    assert time.monotonic() - begin < limit_s(2)


@pytest.mark.parametrize("to_disk", [True, False])
def test_a_file_is_read_back_and_removed(run: Bodies, files: Path, to_disk: bool) -> None:
    block = seeded(3).randbytes(MIB)
    expected = hashlib.sha256(b"".join(n.to_bytes(8) + block[8:] for n in range(2))).hexdigest()
    assert run("io.file_round_trip", size_mib=2, to_disk=to_disk, seed=3) == [
        {"bytes": 2 * MIB, "sha256": expected}
    ]
    assert list(files.iterdir()) == []


def test_an_interrupted_file_job_leaves_no_file(
    run: Bodies, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(fd: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("jobs.io.os.fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run("io.file_round_trip", size_mib=1)
    assert list(files.iterdir()) == []


@pytest.mark.skipif(on_postgresql, reason="PostgreSQL can wait")
def test_sql_wait_gives_the_reason_why_sqlite_cannot_run_it() -> None:
    definition = definitions.get("io.sql_wait")
    assert "needs PostgreSQL" in (definition.unavailable() or "")
    assert "SQLite" in (definition.unavailable() or "")
    with pytest.raises(Unavailable, match="DATABASE_URL"):
        definition.body(duration_s=0)


@pytest.mark.skipif(not on_postgresql, reason="pg_sleep needs PostgreSQL: TEST_DATABASE=postgres")
@pytest.mark.django_db(transaction=True)
def test_sql_wait_waits_in_postgresql_and_closes_its_connection(run: Bodies) -> None:
    assert definitions.get("io.sql_wait").unavailable() is None
    begin = time.monotonic()
    assert run("io.sql_wait", duration_s=0.2) == [0.2]
    assert time.monotonic() - begin >= 0.2
    assert connection.connection is None


@pytest.fixture
def _redis(redis_client: redis.Redis) -> Iterator[None]:
    yield
    assert redis_client.dbsize() == 0


@pytest.mark.usefixtures("_redis")
def test_redis_returns_what_was_sent_and_keeps_nothing(run: Bodies) -> None:
    sync, coroutine = run("io.redis_round_trips", count=7, payload_bytes=10, seed=2)
    assert sync == coroutine
    assert (sync["round_trips"], sync["bytes"]) == (7, 70)


def test_a_job_without_redis_is_retried(run: Bodies, settings: Any) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        settings.REDIS_URL = f"redis://127.0.0.1:{unused.getsockname()[1]}/0"
        with pytest.raises(definitions.get("io.redis_round_trips").retry_on):
            run("io.redis_round_trips", count=1)


def test_names_are_looked_up_and_an_unknown_one_is_no_failure(run: Bodies) -> None:
    sync, coroutine = run("io.dns_lookup", names=["localhost", "no-such-name-here.localhost"], rounds=2)
    assert sync["lookups"] == coroutine["lookups"] == 4
    assert sync["addresses"] == coroutine["addresses"]
    assert set(sync["addresses"]["localhost"]) & {"127.0.0.1", "::1"}


@pytest.mark.parametrize(
    "name", ["example.com", "evil.example.localhost", "-a", "a b", "a\n", "127.0.0.1", "ü", ""]
)
def test_only_local_names_are_looked_up(name: str) -> None:
    with pytest.raises(InvalidParameters) as caught:
        definitions.get("io.dns_lookup").validate({"names": [name]})
    assert list(caught.value.errors) == ["names"]


# In a separate process, because an audit hook cannot be removed.
_PRINT_WRITES = """
import json, os, sys
import django
django.setup()
from poolwise import definitions
definition = definitions.get(sys.argv[1])
arguments = definition.call_arguments(definition.validate({}))
opened = []
def note(event, about):
    if event == "open" and isinstance(about[0], str) and (about[2] or 0) & (os.O_WRONLY | os.O_RDWR):
        opened.append(about[0] if os.path.isdir(about[0]) else os.path.dirname(about[0]))
sys.addaudithook(note)
definition.body(**arguments)
print(json.dumps(opened))
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["io.file_round_trip", "mixed.csv_report"])
def test_file_jobs_write_only_to_their_folder(tmp_path: Path, name: str) -> None:
    run = subprocess.run(
        [sys.executable, "-c", _PRINT_WRITES, name],
        env={
            **os.environ,
            "JOB_FILES_DIR": str(tmp_path / "files"),
            "DJANGO_SETTINGS_MODULE": "project.settings",
        },
        cwd=site.BASE_DIR,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    assert set(json.loads(run.stdout.splitlines()[-1])) == {str(tmp_path / "files")}


def test_no_job_has_a_path_as_parameter() -> None:
    for definition in definitions.all_definitions():
        names = [field.name for field in definition.fields if definition.module_path.startswith("jobs.")]
        assert not {"path", "file", "filename", "folder", "directory"} & set(names), definition.name
