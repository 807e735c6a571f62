"""Where a run's time went, and who stalled whom: real threads that compute and wait, real workers."""

import errno
import hashlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone

from poolwise.lifecycle import stream
from poolwise.lifecycle.heartbeats import pools_up
from poolwise.lifecycle.recorder import fold
from poolwise.lifecycle.stream import Ending, Outcome, Place
from poolwise.lifecycle.submission import submit
from poolwise.metering import process_stats, run_queue
from poolwise.metering.cpu_clocks import Meter
from poolwise.metering.gil import PROBE, GilProbe
from poolwise.metering.stalls import Stalls
from poolwise.metering.waits import Span, Waits, split
from poolwise.models import Job, JobState
from poolwise.pools.body_probe import BodyProbe
from poolwise.reports.time_split import PARTS, stalled_by, time_split
from poolwise.support import signing
from poolwise.support.timing import Timings
from tests.helpers.pace import eventually
from tests.helpers.platform import Platform

linux = pytest.mark.skipif(not run_queue.IS_LINUX, reason="only Linux tells of run queues")


def burn(cpu_s: float) -> None:
    until = time.thread_time() + cpu_s
    while time.thread_time() < until:
        pass


def measured(*bodies: Callable[[], object]) -> list[dict[str, float]]:
    """Run the bodies at once, a thread each; return where their time went."""
    PROBE.start()
    PROBE.want()
    time.sleep(0.1)
    jobs: list[Job] = [Job() for _ in bodies]
    threads = [
        threading.Thread(target=measure, args=(body, job)) for body, job in zip(bodies, jobs, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [time_split(job) for job in jobs]


def measure(body: Callable[[], object], job: Job) -> None:
    probe = BodyProbe()
    began, cpu_s = time.monotonic(), time.thread_time()
    body()
    job.cpu_s, job.run_s = time.thread_time() - cpu_s, time.monotonic() - began
    waits = probe.end(job.cpu_s)
    job.run_queue_s, job.gil_wait_s, job.blocked_s = waits.run_queue_s, waits.gil_wait_s, waits.blocked_s


def is_attributed(parts: dict[str, float], unattributed_share: float = 0.1) -> bool:
    """Return whether at most that share of the time that was neither computing nor queued is left unattributed."""
    waited_s = sum(parts.values()) - parts["cpu"] - parts["run_queue"]
    return parts["unattributed"] <= unattributed_share * waited_s + 0.02


def attributed(*bodies: Callable[[], object], unattributed_share: float = 0.1) -> list[dict[str, float]]:
    """Measure until the probe took its samples: on a stalled machine it takes none, and the parts stay unattributed."""

    def measure_all() -> list[dict[str, float]]:
        every = measured(*bodies)
        return every if all(is_attributed(parts, unattributed_share) for parts in every) else []

    return eventually(measure_all, 30)


@pytest.mark.slow
@linux
def test_three_computing_threads_wait_for_the_lock_and_never_block() -> None:
    for parts in attributed(*[lambda: burn(0.3)] * 3, unattributed_share=0.5):
        ready_s = sum(parts.values()) - parts["cpu"] - parts["run_queue"]
        assert parts["cpu"] == pytest.approx(0.3, abs=0.02)
        assert ready_s / 3 < parts["gil_wait"] <= ready_s + 1e-9
        assert parts["blocked"] < 0.05 * ready_s


@linux
def test_a_thread_that_sleeps_is_blocked() -> None:
    (parts,) = attributed(lambda: time.sleep(0.5))
    assert parts["blocked"] == pytest.approx(0.5, abs=0.05)
    assert parts["gil_wait"] < 0.005


@linux
def test_a_sleeper_beside_a_computing_thread_does_not_wait_for_the_lock() -> None:
    sleeper, burner = attributed(lambda: time.sleep(0.5), lambda: burn(0.3))
    assert sleeper["gil_wait"] == 0
    assert sleeper["blocked"] > 0.4
    assert burner["gil_wait"] < 0.05
    assert burner["blocked"] < 0.05


@pytest.mark.slow
@linux
def test_what_lets_the_lock_go_waits_for_cores_only() -> None:
    def compute() -> None:
        hashlib.pbkdf2_hmac("sha256", b"x", b"y", 300_000)

    for parts in measured(*[compute] * 3):
        assert parts["gil_wait"] + parts["blocked"] < 0.1 * sum(parts.values())


@pytest.mark.slow
@linux
def test_frequent_waits_beside_computing_threads_are_unattributed() -> None:
    def wait_often() -> None:
        for _ in range(40):
            time.sleep(0.001)

    often, *_ = measured(wait_often, lambda: burn(0.3), lambda: burn(0.3))
    assert often["unattributed"] > often["gil_wait"]
    assert sum(often[part] for part in PARTS) == pytest.approx(sum(often.values()))


@pytest.mark.slow
@linux
def test_a_thread_without_a_core_waits_in_the_run_queue() -> None:
    """More processes than cores: who computes must queue."""
    code = "import time; end = time.monotonic() + 1.5\nwhile time.monotonic() < end: pass"
    others = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2 * (os.cpu_count() or 1))]
    time.sleep(0.3)
    (parts,) = measured(lambda: burn(0.2))
    for other in others:
        other.kill()
        other.wait()
    assert parts["run_queue"] > 0.05
    assert parts["run_queue"] > parts["gil_wait"] + parts["blocked"]


@pytest.mark.slow
@linux
def test_a_forked_child_asks_for_its_own_thread() -> None:
    burn(0.01)
    mine_s = run_queue.waited_s()
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        os.write(writer, str(run_queue.waited_s()).encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert float(os.read(reader, 100)) != mine_s
    os.close(reader)
    os.close(writer)


@pytest.mark.slow
@linux
def test_the_probe_of_the_lock_goes_on_after_it_could_open_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    probe = GilProbe()
    with monkeypatch.context() as patch:
        patch.setattr(run_queue, "RunQueue", refuse)
        run_queue._forget()
        probe._sample(time.sleep)
    assert probe.reading == (0, 0.0)
    probe._sample(time.sleep)
    assert probe.reading[0] == 1


@linux
def test_a_probe_costs_a_few_microseconds() -> None:
    def cost_s() -> float:
        began = time.thread_time()
        for _ in range(200):
            BodyProbe().end(0.0)
        return (time.thread_time() - began) / 200

    assert min(cost_s() for _ in range(10)) < 50e-6


def span(**seconds: Any) -> Span:
    none = {"process_cpu_s": 0.0, "run_queue_s": 0.0, "switches": 0, "wakes": 100, "waited_s": 0.0}
    return Span(**{"wall_s": 1.0, "thread_cpu_s": 0.1, "recent_s": 0.0, **none, **seconds})


def test_only_the_time_that_a_shared_thread_slept_is_blocked_for_certain() -> None:
    waits = split(span(thread_cpu_s=0.4, process_cpu_s=0.4, run_queue_s=0.1), 0.05, is_alone=False)
    assert waits == Waits(blocked_s=pytest.approx(0.5))


def test_the_lock_cannot_have_taken_longer_than_its_owners_computed() -> None:
    waits = split(span(process_cpu_s=0.15, switches=200, wakes=50, waited_s=0.5), 0.1, is_alone=True)
    assert waits.gil_wait_s == pytest.approx(0.05)


def ended(**values: Any) -> Job:
    return Job(state=JobState.SUCCEEDED, **{"run_s": 1.0, "cpu_s": 0.2, **values})


def test_what_was_not_measured_is_unattributed() -> None:
    assert time_split(ended())["unattributed"] == pytest.approx(0.8)
    assert time_split(Job()) == {}


def test_parts_that_exceed_the_run_are_dropped() -> None:
    parts = time_split(ended(run_queue_s=0.5, blocked_s=0.7))
    assert parts == {
        "cpu": 0.2,
        "run_queue": 0,
        "gil_wait": 0,
        "blocked": 0,
        "unattributed": pytest.approx(0.8),
    }
    nearly = time_split(ended(run_queue_s=0.5, blocked_s=0.302))
    assert sum(nearly.values()) == pytest.approx(1.0)


def test_a_long_stint_stalls_all_others_and_is_its_own_jobs() -> None:
    hog, sleeper = Meter(), Meter()
    stalls = Stalls(lambda: [hog, sleeper])
    stalls.tick(0.0)
    stalls.begin(time.thread_time())
    burn(0.05)
    stalls.over(hog, time.thread_time())
    assert sleeper.stall_s >= hog.caused_stall_s >= 0.05
    assert hog.stall_s == sleeper.caused_stall_s == 0
    assert stalls.worst_s == sleeper.stall_s


def test_a_late_loop_that_nobody_kept_is_nobodys_stall() -> None:
    meters = [Meter(), Meter()]
    stalls = Stalls(lambda: meters)
    time.sleep(0.05)
    stalls.tick(0.04)
    assert [meter.stall_s for meter in meters] == [0.04, 0.04]
    assert [meter.caused_stall_s for meter in meters] == [0, 0]


def outcome(**values: Any) -> Outcome:
    return Outcome(str(uuid4()), 1, Place("w", 1), Timings(run_s=1.0), Ending.SUCCEEDED, **values)


def test_an_outcome_carries_its_waits_and_an_old_one_has_none() -> None:
    waits = Waits(0.1, None, 0.25, 0.0, 0.5)
    entry = stream.decode(stream.encode(outcome(waits=waits)))
    assert isinstance(entry, Outcome)
    assert entry.waits == waits
    old = stream.decode(stream.encode(outcome()))
    assert isinstance(old, Outcome)
    assert "q" not in json.loads(stream.encode(outcome()).partition(" ")[2])
    assert old.waits == Waits()


def test_an_entry_of_a_newer_release_with_more_fields_still_counts() -> None:
    data = json.loads(stream.encode(outcome(waits=Waits(0.1))).partition(" ")[2])
    text = json.dumps(data | {"q": [*data["q"], 7.0]})
    entry = stream.decode(f"{signing.sign(signing.REPORT, text)} {text}")
    assert isinstance(entry, Outcome)
    assert entry.waits == Waits(0.1)


def test_the_recorder_writes_the_waits_to_the_job() -> None:
    entry = outcome(waits=Waits(0.1, 0.2, 0.3, 0.4, 0.5))
    job = Job(id=entry.job_id, state=JobState.RUNNING)
    assert fold(job, entry, now=timezone.now())
    assert (job.run_queue_s, job.gil_wait_s, job.blocked_s, job.stall_s, job.caused_stall_s) == (
        0.1, 0.2, 0.3, 0.4, 0.5,
    )  # fmt: skip


def test_cpu_time_counts_children() -> None:
    before_s = process_stats.cpu_s(process_stats.process_tree(os.getpid()))
    code = "import time\nwhile time.process_time() < 0.3: pass"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert process_stats.cpu_s(process_stats.process_tree(os.getpid())) - before_s > 0.25


def test_process_stats_find_children_again_only_when_there_is_reason(monkeypatch: pytest.MonkeyPatch) -> None:
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


@linux
@pytest.mark.services
def test_computing_jobs_on_threads_show_their_wait_for_the_lock(platform: Platform) -> None:
    jobs = submit("cpu.queens", {"size": 12}, pool="threads", copies=3)
    platform.wait_for(*jobs)
    for job in jobs:
        parts = time_split(job)
        assert sum(parts.values()) == pytest.approx(job.run_s)
        assert job.gil_wait_s is not None
        assert parts["blocked"] < 0.1 * sum(parts.values())
    # Of the time in which they had a core: a loaded machine lets them wait for one most of the time.
    with_core_s = sum((job.run_s or 0) - (job.run_queue_s or 0) for job in jobs)
    assert sum(job.gil_wait_s or 0 for job in jobs) > 0.1 * with_core_s


@pytest.mark.services
@pytest.mark.parametrize("pool", ["gevent", "asyncio"])
def test_a_computing_job_stalls_the_waiting_one_and_is_named(
    platform: Platform, eventually: Callable[..., Any], pool: str
) -> None:
    (sleeper,) = submit("io.wait", {"duration_s": 2.5}, pool=pool)
    eventually(lambda: Job.objects.filter(pk=sleeper.pk, state=JobState.RUNNING).exists())
    (hog,) = submit("hazard.blocked_loop", {"compute_s": 0.6}, pool=pool)
    platform.wait_for(sleeper, hog)
    assert hog.caused_stall_s is not None
    assert sleeper.stall_s is not None
    # It computes by the clock; what a loaded machine keeps its core from it is not its fault.
    assert hog.cpu_s is not None
    assert sleeper.stall_s >= hog.caused_stall_s > 0.5 * hog.cpu_s
    assert sleeper.stall_s > 0.4
    assert sleeper.caused_stall_s == 0
    assert stalled_by(sleeper) == hog


@linux
@pytest.mark.services
@pytest.mark.parametrize("pool", ["prefork", "threads", "gevent", "asyncio"])
def test_a_waiting_job_is_blocked_on_every_pool(platform: Platform, pool: str) -> None:
    def run_once() -> Job | None:
        (job,) = submit("io.wait", {"duration_s": 1.0}, pool=pool)
        platform.wait_for(job)
        return job if is_attributed(time_split(job)) else None

    job = eventually(run_once, 30)
    parts = time_split(job)
    assert parts["blocked"] > 0.8
    assert sum(parts.values()) == pytest.approx(job.run_s)
    assert (job.stall_s is None) == (pool in ("prefork", "threads"))


@pytest.mark.services
def test_a_worker_reports_its_figures(platform: Platform, eventually: Callable[..., Any]) -> None:
    (job,) = submit("cpu.primes", {}, pool="prefork")
    platform.wait_for(job)
    (worker,) = pools_up()["prefork"]
    assert worker.peak_memory_bytes >= worker.memory_bytes > 0
    eventually(lambda: pools_up()["prefork"][0].cpu_s > worker.cpu_s, timeout_s=20)
    assert worker.db_connections == 0
    assert [pools_up()[pool][0].is_patched for pool in ("gevent", "asyncio", "threads")] == [True, None, None]
