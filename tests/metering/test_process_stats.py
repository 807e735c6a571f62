"""CPU time, memory and connections of processes, and the figures of real workers."""

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from poolwise.lifecycle.heartbeats import pools_up
from poolwise.lifecycle.submission import submit
from poolwise.metering import process_stats
from tests.helpers.platform import Platform


def test_cpu_time_counts_children() -> None:
    before_s = process_stats.cpu_s(process_stats.process_tree(os.getpid()))
    code = "import time\nwhile time.process_time() < 0.3: pass"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert process_stats.cpu_s(process_stats.process_tree(os.getpid())) - before_s > 0.25


def test_process_stats_search_for_children_only_if_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    stats = process_stats.ProcessStats(os.getpid())
    before = {process.pid for process in stats.process_tree("two slots")}
    with subprocess.Popen(["sleep", "60"]) as child:
        try:
            assert {process.pid for process in stats.process_tree("two slots")} == before
            assert {process.pid for process in stats.process_tree("three slots")} == {*before, child.pid}
        finally:
            child.kill()
    assert {process.pid for process in stats.process_tree("three slots")} == before, "it has ended"
    with subprocess.Popen(["sleep", "60"]) as child:
        monkeypatch.setattr(process_stats, "_FIND_AGAIN_S", 0.0)
        assert child.pid in {process.pid for process in stats.process_tree("three slots")}
        child.kill()


def test_process_stats_read_a_share_again_once_the_process_has_grown(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    plain = process_stats._memory_bytes
    monkeypatch.setattr(
        process_stats, "_memory_bytes", lambda process: read.append(process.pid) or plain(process)
    )
    stats = process_stats.ProcessStats(os.getpid())
    process_tree = stats.process_tree()
    first_bytes = stats.memory_bytes(process_tree)
    assert abs(stats.memory_bytes(process_tree) - first_bytes) <= 0.01 * first_bytes
    assert read.count(os.getpid()) == 1
    ballast = b"x" * max(50_000_000, first_bytes // 5)
    assert stats.memory_bytes(process_tree) - first_bytes > 0.8 * len(ballast)
    assert read.count(os.getpid()) == 2
    monkeypatch.setattr(process_stats, "_READ_AGAIN_S", 0.0)
    stats.memory_bytes(process_tree)
    assert read.count(os.getpid()) == 3


def test_connections_behind_a_unix_socket_cannot_be_counted() -> None:
    postgres = {"ENGINE": "django.db.backends.postgresql", "HOST": "", "PORT": ""}
    assert process_stats.db_connections(process_stats.process_tree(os.getpid()), postgres) is None


@pytest.mark.services
def test_a_worker_reports_its_figures(platform: Platform, eventually: Callable[..., Any]) -> None:
    (job,) = submit("cpu.primes", {}, pool="prefork")
    platform.wait_for(job)
    (worker,) = pools_up()["prefork"]
    assert worker.peak_memory_bytes >= worker.memory_bytes > 0
    eventually(lambda: pools_up()["prefork"][0].cpu_s > worker.cpu_s, timeout_s=20)
    assert worker.db_connections == 0
    assert [pools_up()[pool][0].is_patched for pool in ("gevent", "asyncio", "threads")] == [True, None, None]
