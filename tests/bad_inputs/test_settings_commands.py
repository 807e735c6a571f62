"""The settings at the command line: what cannot work ends a command with one line, and starts no worker."""

import os
import subprocess
import sys

import pytest

from tests import ROOT

pytestmark = pytest.mark.slow


def manage(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a management command with these settings."""
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("environment", "text"),
    [
        ({"JOB_POOLS": "[1]"}, "JOB_POOLS declares no pool"),
        ({"JOB_POOLS": "{}"}, "JOB_POOLS"),
        ({"JOB_POOLS": '{"a": 5}'}, "JOB_POOLS['a'] is 5"),
        ({"PREFORK_CONCURRENCY": "0"}, "PREFORK_CONCURRENCY"),
        ({"JOB_KEEP_DAYS": "x"}, '"JOB_KEEP_DAYS" invalid'),
        ({"LOG_LEVEL": "loud"}, "LOG_LEVEL must be one of"),
        ({"DATABASE_URL": "x"}, "DATABASE_URL"),
    ],
    ids=str,
)
@pytest.mark.parametrize("command", ["check", "migrate", "pool threads"])
def test_settings_that_cannot_work_end_a_command_with_one_line(
    environment: dict[str, str], text: str, command: str
) -> None:
    done = manage(*command.split(), **environment)
    assert done.returncode == 1
    assert (text in done.stderr, done.stderr.count("\n")) == (True, 1), done.stderr


@pytest.mark.parametrize("name", ["WORKER_PREFETCH_MULTIPLIER", "JOB_HEARTBEAT_S"])
def test_a_worker_that_would_take_no_jobs_or_never_beat_does_not_start(name: str) -> None:
    done = manage("pool", "threads", **{name: "-1"})
    assert done.returncode == 1
    assert f"{name} is -1" in done.stderr


def test_a_mistake_of_the_settings_is_traced_back_for_who_asks() -> None:
    assert "Traceback" in manage("check", "--traceback", LOG_LEVEL="loud").stderr
