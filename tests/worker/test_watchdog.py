"""The table of running attempts, and the process that reads it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from poolwise.lifecycle import stream
from poolwise.lifecycle.heartbeats import Heartbeat, read_all, send
from poolwise.lifecycle.stream import Ending, Place, Started, encode
from poolwise.support.timing import Timings, wall_now
from poolwise.worker import attempt_table, watchdog_supervisor
from poolwise.worker.attempt_table import NO_LIMIT, AttemptTable, WatchedAttempt
from poolwise.worker.watchdog import MARGIN_S
from poolwise.worker.watchdog_actions import outcome_of
from tests.helpers.core import reports
from tests.helpers.pace import eventually

PLACE = Place("stuck-1@here", 7, "slot-1", "job-3")


def started(job_id: str = "5a9c1d3e-0000-4000-8000-000000000001", attempt: int = 2) -> str:
    return encode(Started(job_id, attempt, PLACE, Timings(started_at=wall_now() - 4)))


def test_what_runs_stands_in_the_table_until_it_is_struck_off() -> None:
    table, _ = AttemptTable.create()
    off = table.note("a", 5.0)
    table.note("b", 3.0)
    assert [a.text for a in table.attempts()] == ["a", "b"]
    assert table.next_deadline_mono() == 3.0
    off.remove()
    off.remove()  # once more does no harm
    off.limit(1.0)
    assert [a.text for a in table.attempts()] == ["b"]
    table.note("c", NO_LIMIT)
    table.note("d", NO_LIMIT)
    assert {a.text for a in table.attempts()} == {"b", "c", "d"}


def test_the_deadline_of_what_runs_can_be_changed() -> None:
    table, _ = AttemptTable.create()
    row = table.note("a")
    assert table.next_deadline_mono() == NO_LIMIT
    row.limit(5.0)
    assert table.attempts() == [WatchedAttempt("a", 5.0)]
    row.limit(NO_LIMIT)
    assert table.next_deadline_mono() == NO_LIMIT
    row.remove()
    assert table.attempts() == []


def test_the_longest_names_fit_into_a_row() -> None:
    table, _ = AttemptTable.create()
    pool, host = "Ж" * 100, "h" * 255
    text = encode(
        Started(
            "5a9c1d3e-0000-4000-8000-000000000001",
            30_000,
            Place(f"{pool}-abcdef@{host}", 2**22, "job-threads_12345", "job-1234567890"),
            Timings(*[1234567890.1234567] * 8),
        )
    )
    table.note(text)
    assert [attempt.text for attempt in table.attempts()] == [text]


def test_another_view_of_the_same_file_sees_the_rows() -> None:
    table, descriptor = AttemptTable.create()
    table.note("é" * 20, 1.5)
    assert AttemptTable(descriptor).attempts() == [WatchedAttempt("é" * 20, 1.5)]
    assert not table.is_watched
    AttemptTable(descriptor).note_check()
    assert table.is_watched


def test_a_forked_process_changes_nothing_in_the_table() -> None:
    table, descriptor = AttemptTable.create()
    off = table.note("a", 1.5)
    table.detach()
    off.remove()
    table.note("b", NO_LIMIT)
    table.note_heartbeat(next_within_s=-1)
    seen = AttemptTable(descriptor)
    assert (seen.attempts(), seen.is_heartbeat_overdue) == ([WatchedAttempt("a", 1.5)], False)


def test_a_full_table_lets_jobs_run_unwatched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempt_table, "MAX_ROWS", 2)
    table, _ = AttemptTable.create()
    strikes = [table.note(text, 1.0) for text in "abc"]
    assert len(table.attempts()) == 2
    for strike in strikes:
        strike.remove()
    table.note("d", 1.0)
    assert [a.text for a in table.attempts()] == ["d"]


def test_no_attempt_is_hidden_by_another_thread_that_notes_one(switch_often: None) -> None:
    for _ in range(20):
        table, descriptor = AttemptTable.create()
        with ThreadPoolExecutor(8) as threads:
            rows = list(threads.map(table.note, map(str, range(64))))
        assert len(table.attempts()) == len(rows)
        os.close(descriptor)


@pytest.fixture
def switch_often() -> Iterator[None]:
    """Have threads take turns as often as possible."""
    interval_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-7)
    yield
    sys.setswitchinterval(interval_s)


def test_a_heartbeat_is_overdue_once_its_time_is_over() -> None:
    table, _ = AttemptTable.create()
    assert not table.is_heartbeat_overdue  # it has not begun to give any
    table.note_heartbeat(next_within_s=5)
    assert not table.is_heartbeat_overdue
    table.note_heartbeat(next_within_s=-1)
    assert table.is_heartbeat_overdue


def test_an_attempt_past_its_limit_has_failed_and_the_others_are_given_back() -> None:
    now = time.monotonic()
    failed, released = (
        outcome_of(WatchedAttempt(started(), now - 4)),
        outcome_of(WatchedAttempt(started(), now + 9)),
    )
    assert (failed.ending, failed.error_type, failed.attempt) == (Ending.FAILED, "TimeLimitExceeded", 2)
    assert 3.9 < failed.timings.run_s < 60
    assert (released.ending, released.place) == (Ending.RELEASED, PLACE)
    assert outcome_of(WatchedAttempt("{cut off", now)) is None


@pytest.fixture
def table() -> Iterator[AttemptTable]:
    """The table of a worker, as its supervisor sees it."""
    table, _ = AttemptTable.create()
    yield table
    table.close()


def start_worker(
    table: AttemptTable,
    text: str,
    late_s: float,
    *,
    is_alive: bool = True,
    sends_heartbeats: bool = True,
    **environment: str,
) -> subprocess.Popen[bytes]:
    """Start a process that blocks like a worker inside a C call, and its watchdog."""
    code = f"""
import ctypes, os, subprocess, sys, time
from poolwise.worker.attempt_table import AttemptTable
table = AttemptTable.inherit()
table.note_heartbeat(next_within_s={30 if is_alive else -1})
if not {sends_heartbeats}:
    table.note_no_heartbeats()
table.note({text!r}, time.monotonic() - {late_s})
table.note({started("5a9c1d3e-0000-4000-8000-000000000002", 1)!r}, float("inf"))
arguments = [sys.executable, "-m", "poolwise.worker.watchdog", str(table.descriptor), str(os.getpid()), {PLACE.worker!r}]
child = subprocess.Popen(arguments, pass_fds=[table.descriptor])
print(child.pid, flush=True)
ctypes.PyDLL(None).usleep(20_000_000)  # keeps the interpreter's lock
"""
    # Keys of the test's own: the coordinator of other tests would take the reports away.
    environment = {
        **os.environ,
        "JOB_KEY_PREFIX": settings.JOB_KEY_PREFIX,
        attempt_table.TABLE_VARIABLE: str(table.descriptor),
        **environment,
    }
    return subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        env=environment,
        pass_fds=[table.descriptor],
    )


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z"


def test_the_watchdog_reports_and_ends_a_worker_that_keeps_the_interpreters_lock(
    own_keys: Any, table: AttemptTable
) -> None:
    with start_worker(table, started(), MARGIN_S - 0.5) as worker:
        watchdog = int(worker.stdout.readline())
        assert worker.wait(20) == -signal.SIGKILL
        endings = {entry.job_id[-1]: entry.ending for entry in reports(own_keys)}
        assert endings == {"1": Ending.FAILED, "2": Ending.RELEASED}
        assert table.ends_for_job
        eventually(lambda: is_gone(watchdog))


def test_a_watchdog_whose_worker_is_gone_before_it_has_started_ends() -> None:
    table, descriptor = AttemptTable.create()
    gone = subprocess.Popen(["true"])
    gone.wait()
    command = [sys.executable, "-m", "poolwise.worker.watchdog", str(descriptor), str(gone.pid), "w@h"]
    assert subprocess.run(command, pass_fds=[descriptor], timeout=20).returncode == 0
    assert not table.is_watched


def test_a_watchdog_loads_what_it_takes_to_act_once_a_job_comes_near_its_limit() -> None:
    table, descriptor = AttemptTable.create()
    command = [sys.executable, "-m", "poolwise.worker.watchdog", str(descriptor), str(os.getpid()), "w@h"]
    with subprocess.Popen(command, pass_fds=[descriptor]) as watchdog:
        try:
            maps = Path(f"/proc/{watchdog.pid}/maps")
            eventually(lambda: table.is_watched)
            assert "_psutil_linux" not in maps.read_text()
            table.note(started(), time.monotonic() + 5)
            eventually(lambda: "_psutil_linux" in maps.read_text())
            assert watchdog.poll() is None
        finally:
            watchdog.kill()


def test_the_watchdog_leaves_a_worker_in_its_time_alone_and_ends_with_it(
    own_keys: Any, table: AttemptTable
) -> None:
    with start_worker(table, started(), -60) as worker:
        watchdog = int(worker.stdout.readline())
        time.sleep(1.0)
        assert worker.poll() is None
        assert not table.ends_for_job
        os.kill(watchdog, signal.SIGTERM)  # meant for the worker
        time.sleep(0.3)
        assert not is_gone(watchdog)
        worker.kill()
        eventually(lambda: is_gone(watchdog))
    assert own_keys.xlen(stream.stream_key()) == 0


def test_the_watchdog_renews_the_heartbeat_of_a_worker_whose_job_is_within_its_limit(
    own_keys: Any, table: AttemptTable
) -> None:
    send(own_keys, Heartbeat(PLACE.worker, "threads", 7, "here"))
    with start_worker(table, started(), -60, is_alive=False) as worker:
        time.sleep(2.5)
        seen = eventually(lambda: [b.seen_s_ago for b in read_all(own_keys) if b.seen_s_ago < 1.2])
        assert seen
        os.kill(worker.pid, signal.SIGSTOP)  # paused: its jobs are to run elsewhere
        eventually(lambda: [b for b in read_all(own_keys) if b.seen_s_ago > 2.5])
        worker.kill()


@pytest.mark.parametrize("has_withdrawn", [False, True])
def test_the_watchdog_reports_that_its_worker_has_died_unless_it_shut_down(
    own_keys: Any, table: AttemptTable, has_withdrawn: bool
) -> None:
    with start_worker(table, started(), -60, sends_heartbeats=not has_withdrawn) as worker:
        watchdog = int(worker.stdout.readline())
        send(own_keys, Heartbeat(PLACE.worker, "threads", worker.pid, "here"))
        worker.kill()
        eventually(lambda: is_gone(watchdog))
    [heartbeat] = read_all(own_keys)
    assert heartbeat.has_ended is not has_withdrawn


def test_a_watchdog_ends_though_redis_is_away_when_its_worker_dies(
    table: AttemptTable, own_redis: Any
) -> None:
    with start_worker(table, started(), -60, REDIS_URL=own_redis.url) as worker:
        watchdog = int(worker.stdout.readline())
        worker.kill()
        eventually(lambda: is_gone(watchdog))


def test_a_watchdog_that_ends_is_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog_supervisor, "_PAUSE_S", 0.1)
    guard = watchdog_supervisor.WatchdogProcess()
    table = guard.start("w@h")
    eventually(lambda: table.is_watched)
    first = guard.pid
    os.kill(first, signal.SIGKILL)
    eventually(lambda: guard.pid != first)
    checked = time.monotonic()
    eventually(lambda: table.checked_at_mono > checked)
    guard.stop()
    os.kill(guard.pid, signal.SIGKILL)


def test_a_watchdog_that_cannot_be_started_is_so_later(monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[int] = []

    def spawn(*_: Any) -> int:
        tries.append(1)
        if len(tries) < 3:
            raise BlockingIOError("no process to be had")
        return 42

    instead = {"posix_spawn": spawn, "waitpid": lambda pid, _: (0, 0)}
    original = watchdog_supervisor.original
    monkeypatch.setattr(
        watchdog_supervisor, "original", lambda module, name: instead.get(name) or original(module, name)
    )
    monkeypatch.setattr(watchdog_supervisor, "_PAUSE_S", 0.01)
    guard = watchdog_supervisor.WatchdogProcess()
    guard.start("w@h")
    eventually(lambda: guard.pid == 42)
    guard.stop()
    assert len(tries) == 3
