"""`manage.py pool NAME --restart` with a small program in place of the worker."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest
from django.conf import settings

from poolwise.lifecycle.heartbeats import Heartbeat, read_all, send
from poolwise.support import is_running, kill_family
from tests import ROOT
from tests.helpers.pace import eventually, within

SUPERVISOR = """
import sys
from poolwise.management.commands import pool
pool.worker_command = lambda *_: [sys.executable, "-S", "-c", sys.argv[1]]
pool.worker_name = lambda _: "w1@h"
pool.Command().run_from_argv(["manage.py", "pool", "threads", "--restart"])
"""
#: A program in a session of its own, without a parent, which ignores SIGTERM and has inherited the output.
LEAVES = """
import os, signal, subprocess, time
subprocess.run(["setsid", "sh", "-c", "trap '' TERM; sleep 90 & echo left $!"])
"""
WAITS = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit("asked to end"))
print("waits", flush=True)
time.sleep(60)
"""
SENDS_HEARTBEATS = """
import os
from poolwise.worker.attempt_table import AttemptTable
AttemptTable.inherit().note_heartbeat(next_within_s=60)
print('pid', os.getpid(), flush=True)
"""
ENDS_FOR_JOB = """
import os, signal
from poolwise.worker.attempt_table import AttemptTable
AttemptTable.inherit().note_end_for_job()
os.kill(os.getpid(), signal.SIGKILL)
"""

type Start = Callable[[str], subprocess.Popen[str]]


@pytest.fixture
def supervise() -> Iterator[Start]:
    """Start a supervisor of this program; end it, whatever fails."""
    started = []

    def start(worker: str) -> subprocess.Popen[str]:
        started.append(
            process := subprocess.Popen(
                [sys.executable, "-c", SUPERVISOR, worker],
                cwd=ROOT,
                env={
                    **os.environ,
                    "DJANGO_SETTINGS_MODULE": "project.settings",
                    "JOB_KEY_PREFIX": settings.JOB_KEY_PREFIX,
                },
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )
        return process

    yield start
    for process in started:
        kill_family(process.pid)
        process.communicate(timeout=20)


def line_with(text: str, process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return next(line for line in process.stdout if text in line)


def test_it_ends_at_once_while_it_pauses(supervise: Start) -> None:
    process = supervise("raise SystemExit(3)")
    line_with("status 3; starting again in 4.0 s", process)
    with within(3):
        process.terminate()
        assert process.wait(20) == 0


def test_a_worker_that_ended_for_the_sake_of_a_job_is_started_again_at_once_each_time(
    supervise: Start,
) -> None:
    process = supervise(ENDS_FOR_JOB)
    line_with("a job could not be stopped; starting again", process)
    with within(5):
        for _ in range(5):
            line_with("a job could not be stopped; starting again", process)


@pytest.mark.parametrize(
    ("end", "says"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", "status -9; starting again"),
        ("raise SystemExit", "status 0;"),
    ],
)
def test_what_a_worker_has_left_ends_before_the_next_one_starts(
    supervise: Start, end: str, says: str
) -> None:
    process = supervise(LEAVES + end)
    left = int(line_with("left", process).split()[1])
    line_with(says, process)
    assert not psutil.pid_exists(left) or not is_running(psutil.Process(left))


def test_orphans_that_end_while_the_worker_runs_do_not_stay_as_zombies(supervise: Start) -> None:
    process = supervise("import subprocess\nsubprocess.run(['sh', '-c', 'sleep 0.1 &'])" + WAITS)
    line_with("waits", process)
    eventually(lambda: len(psutil.Process(process.pid).children()) == 1)
    process.terminate()
    assert "asked to end" in process.communicate(timeout=20)[0]


def test_a_worker_whose_supervisor_was_killed_ends_as_at_sigterm(supervise: Start) -> None:
    process = supervise(WAITS)
    line_with("waits", process)
    process.send_signal(signal.SIGKILL)
    line_with("asked to end", process)


def test_a_worker_that_was_killed_is_reported_as_ended(own_keys: Any, supervise: Start) -> None:
    process = supervise(SENDS_HEARTBEATS + WAITS)
    pid = int(line_with("pid", process).split()[1])
    send(own_keys, Heartbeat("w1@h", "threads", pid, "h"))
    os.kill(pid, signal.SIGKILL)
    line_with("starting again", process)
    assert [worker.has_ended for worker in read_all(own_keys)] == [True]
