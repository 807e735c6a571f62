"""Commands while the database or Redis does not answer: they wait, or end with one line."""

import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import redis
from django.core.management import CommandError, call_command
from django.db import InterfaceError, OperationalError

from dev.own_postgres import OwnPostgres, PostgresError
from dev.own_redis import OwnRedis
from poolwise.lifecycle import submission
from poolwise.management import patience
from poolwise.management.commands.drain import Command as Drain
from poolwise.management.patience import patiently
from poolwise.models import Job
from poolwise.support.errors import BrokerUnavailable
from tests import ROOT
from tests.helpers.pace import eventually, limit_s
from tests.helpers.services import absent

RESTARTED = "terminating connection due to administrator command"


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "_AGAIN_AFTER_S", 0.0)
    monkeypatch.setattr(
        patience, "close_old_connections", lambda: None
    )  # the test's own transaction is on it


def failing(*errors: Exception, then: Callable[..., Any] = lambda *_, **__: "done") -> Callable[..., Any]:
    """Return a function that raises each of the errors once before it does its work."""
    left: Iterator[Exception] = iter(errors)

    def step(*args: Any, **options: Any) -> Any:
        if error := next(left, None):
            raise error
        return then(*args, **options)

    return step


@pytest.mark.parametrize(
    "error",
    [
        OperationalError(f"{RESTARTED}\nserver closed the connection"), InterfaceError("connection already closed"),
        redis.ConnectionError("refused"), redis.BusyLoadingError("loading"), BrokerUnavailable("Redis does not answer"),
    ],
)  # fmt: skip
def test_a_step_is_repeated_until_it_is_answered_and_one_line_says_so(
    error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    assert patiently(failing(error, error, error)) == "done"
    waiting, answers = capsys.readouterr().err.splitlines()
    assert waiting == f"Waiting. {patience.said_of(error)}"
    assert answers == "It answers again."


@pytest.mark.parametrize(
    ("error", "until_mono"),
    [
        (OperationalError("no such table: poolwise_job"), math.inf), (OperationalError("away"), 0.0),
        (ValueError("a bug"), math.inf), (TimeoutError("too late"), math.inf),
    ],
)  # fmt: skip
def test_what_no_wait_helps_is_not_waited_for(error: Exception, until_mono: float) -> None:
    with pytest.raises(type(error)):
        patiently(failing(error), until_mono=until_mono)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OperationalError(f"{RESTARTED}\nand more"), f"The database does not answer: {RESTARTED}"),
        (
            OperationalError("no such table: x"),
            "Tables are missing (no such table: x): run manage.py migrate.",
        ),
        (redis.ConnectionError("refused"), "Redis does not answer: refused"),
    ],
)
@pytest.mark.parametrize(
    ("command", "calls"),
    [
        (["compare", "io.wait"], "poolwise.lab.plan"),
        (["drain", "threads", "--reason", "x"], "poolwise.management.commands.drain.drain"),
        (["purge", "threads", "--yes", "--reason", "x"], "poolwise.management.commands.purge.purge"),
        (["pause", "threads", "--reason", "x"], "poolwise.management.commands.pause.pause"),
        (["prune"], "poolwise.management.commands.prune.prune"),
        (["submit", "io.wait"], "poolwise.lifecycle.pool_choice.chosen"),
        (["api_token", "bob"], "poolwise.management.commands.api_token.user_of"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_command_ends_with_one_line(
    monkeypatch: pytest.MonkeyPatch, command: list[str], calls: str, error: Exception, line: str
) -> None:
    monkeypatch.setattr(calls, failing(*[error] * 9))
    with pytest.raises(CommandError) as caught:
        call_command(*command, stdout=StringIO(), stderr=StringIO())
    assert str(caught.value) == line


@pytest.mark.django_db
def test_a_drain_waits_for_the_database(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], redis_client: redis.Redis
) -> None:
    running = failing(OperationalError(RESTARTED), then=lambda *_: 0)
    monkeypatch.setattr(Drain, "_running", running)
    monkeypatch.setattr("poolwise.management.commands.drain._SETTLE_S", 0.0)
    out = StringIO()
    call_command("drain", "threads", "--reason", "x", stdout=out)
    assert "No job runs on threads any more." in out.getvalue()
    assert capsys.readouterr().err.startswith(f"Waiting. The database does not answer: {RESTARTED}")


@pytest.mark.django_db
def test_a_part_whose_reply_was_lost_is_submitted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        submission, "deliver", failing(OperationalError(RESTARTED), then=lambda jobs, **_: None)
    )
    call_command("submit", "io.wait", "--pool", "threads", "--copies", "3", "--param", "duration_s=0.1")
    assert Job.objects.count() == 3


@pytest.fixture
def postgres() -> Iterator[OwnPostgres]:
    with tempfile.TemporaryDirectory() as folder:  # pytest's folders are closed to the server's user
        try:
            server = OwnPostgres(Path(folder))
        except PostgresError as error:
            absent("PostgreSQL", str(error))
        server.create()
        server.start()
        yield server
        server.stop()


@pytest.fixture
def environment(tmp_path: Path, postgres: OwnPostgres) -> Iterator[dict[str, str]]:
    """Return the environment of a platform of its own, with an empty database."""
    (tmp_path / "redis").mkdir()
    own = OwnRedis(tmp_path / "redis")
    own.start()
    environment = {**os.environ, "DATABASE_URL": postgres.url, "REDIS_URL": own.url, "LOG_LEVEL": "WARNING"}
    manage = [sys.executable, "manage.py"]
    subprocess.run([*manage, "migrate", "--verbosity", "0"], cwd=ROOT, env=environment, check=True)
    yield environment
    own.kill()


@pytest.mark.slow
@pytest.mark.services
@pytest.mark.postgres
def test_a_comparison_goes_on_after_the_database_was_restarted(
    postgres: OwnPostgres, environment: dict[str, str], tmp_path: Path
) -> None:
    command = f"{sys.executable} manage.py compare io.wait --pools threads --param duration_s=0.5 --copies 64 --rounds 3"
    log = tmp_path / "stderr"
    with log.open("w") as errors:
        process = subprocess.Popen(
            command.split(), cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True
        )
    try:
        eventually(lambda: _ended_jobs(postgres) >= 1, 60)
        postgres.stop()
        eventually(lambda: "Waiting." in log.read_text(), 20)
        postgres.start()
        out, _ = process.communicate(timeout=limit_s(90))
    finally:
        process.terminate()
        process.wait(60)
    said = log.read_text()
    assert process.returncode == 0, said
    assert said.count("Waiting. The database does not answer:") == said.count("It answers again.") == 1
    assert "Traceback" not in said
    assert "threads" in out


def _ended_jobs(postgres: OwnPostgres) -> int:
    import psycopg

    with psycopg.connect(postgres.url, autocommit=True) as ours:
        row = ours.execute("SELECT count(*) FROM poolwise_job WHERE state = 'succeeded'").fetchone()
    return int(row[0]) if row else 0
