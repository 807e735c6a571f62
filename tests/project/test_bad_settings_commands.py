"""The settings at the command line: what cannot work ends a command with one line, and starts no worker."""

import os
import subprocess
import sys

import pytest

from tests import ROOT

pytestmark = pytest.mark.slow
COMMANDS = ("check", "migrate", "pool threads")


def manage(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a management command with these settings."""
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("command", "environment", "text"),
    [
        ("pool threads", {"JOB_POOLS": "[1]"}, "JOB_POOLS declares no pool"),
        ("pool threads", {"JOB_POOLS": "{}"}, "JOB_POOLS"),
        ("pool threads", {"JOB_POOLS": '{"a": 5}'}, "JOB_POOLS['a'] is 5"),
        ("pool threads", {"JOB_KEEP_DAYS": "x"}, "JOB_KEEP_DAYS is 'x'; it must be a number"),
        ("pool threads", {"DATABASE_URL": "x"}, "DATABASE_URL"),
        # A value that Django's settings refuse, and one that only the pools do.
        *((command, {"LOG_LEVEL": "loud"}, "LOG_LEVEL must be one of") for command in COMMANDS),
        *((command, {"PREFORK_CONCURRENCY": "0"}, "PREFORK_CONCURRENCY") for command in COMMANDS),
    ],
    ids=str,
)
def test_settings_that_cannot_work_end_a_command_with_one_line(
    command: str, environment: dict[str, str], text: str
) -> None:
    done = manage(*command.split(), **environment)
    assert done.returncode == 1
    assert (text in done.stderr, done.stderr.count("\n")) == (True, 1), done.stderr


@pytest.mark.parametrize("name", ["WORKER_PREFETCH_MULTIPLIER", "JOB_HEARTBEAT_S"])
def test_a_worker_that_would_take_no_jobs_or_send_no_heartbeats_does_not_start(name: str) -> None:
    done = manage("pool", "threads", **{name: "-1"})
    assert done.returncode == 1
    assert f"{name} is -1" in done.stderr


def test_a_mistake_of_the_settings_is_traced_back_for_who_asks() -> None:
    assert "Traceback" in manage("check", "--traceback", LOG_LEVEL="loud").stderr
