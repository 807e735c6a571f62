"""Time splits and stalls, measured with real threads and real workers."""

import errno
import hashlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from poolwise.lifecycle.submission import submit
from poolwise.metering import run_queue
from poolwise.metering.gil import PROBE, GilProbe, Watch
from poolwise.models import Job, JobState
from poolwise.pools.body_probe import BodyProbe
from poolwise.reports.time_split import PARTS, stalled_by, time_split
from tests.helpers.pace import eventually
from tests.helpers.platform import Platform

linux = pytest.mark.skipif(not run_queue.IS_LINUX, reason="only Linux has run-queue figures")


def burn(cpu_s: float) -> None:
    until = time.thread_time() + cpu_s
    while time.thread_time() < until:
        pass


def measured(*bodies: Callable[[], object]) -> list[dict[str, float]]:
    """Run the bodies side by side, one thread each; return their time splits."""
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
def test_three_computing_threads_wait_for_the_gil_and_never_block() -> None:
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
def test_a_sleeper_beside_a_computing_thread_does_not_wait_for_the_gil() -> None:
    sleeper, burner = attributed(lambda: time.sleep(0.5), lambda: burn(0.3))
    assert sleeper["gil_wait"] == 0
    assert sleeper["blocked"] > 0.4
    assert burner["gil_wait"] < 0.05
    assert burner["blocked"] < 0.05


@pytest.mark.slow
@linux
def test_threads_that_release_the_gil_wait_for_cores_only() -> None:
    def compute() -> None:
        hashlib.pbkdf2_hmac("sha256", b"x", b"y", 300_000)

    for parts in measured(*[compute] * 3):
        assert parts["gil_wait"] + parts["blocked"] < 0.1 * sum(parts.values())


@pytest.mark.slow
@linux
def test_a_thread_that_computes_and_sleeps_does_not_wait_for_those_that_need_no_gil() -> None:
    """It keeps the GIL from the probe itself: others that compute without it are not what it waits for."""
    pause_s, pauses = 0.006, 40

    def half() -> None:
        for _ in range(pauses):
            burn(pause_s)
            time.sleep(pause_s)

    def without_gil() -> None:
        until = time.monotonic() + 0.6
        while time.monotonic() < until:
            hashlib.pbkdf2_hmac("sha256", b"x", b"y", 20_000)

    half_parts, _ = measured(half, without_gil)
    possible_s = sum(half_parts.values()) - half_parts["cpu"] - pauses * pause_s
    # The wait is estimated from looks at the thread, one each 10 ms.
    assert half_parts["gil_wait"] <= possible_s + 0.02
    assert half_parts["gil_wait"] < 0.05


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
    """With more processes than cores, computing threads must queue."""
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
def test_a_forked_child_reads_the_wait_of_its_own_thread() -> None:
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
def test_the_gil_probe_continues_after_it_could_open_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
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
def test_the_probe_watches_each_thread_only_while_its_jobs_run(monkeypatch: pytest.MonkeyPatch) -> None:
    probe = GilProbe()
    assert probe.watch() is None  # nobody started it, so nobody would look
    monkeypatch.setattr(probe, "_started", True)
    watch, again = probe.watch(), probe.watch()
    assert watch is not None
    assert watch is again
    watch.reading = (0, 0.0)  # the watch belongs to the thread, and other tests ran in it
    probe._look(time.sleep, is_busy=False)
    assert watch.reading == (1, 0)
    probe.release(watch)
    probe._look(time.sleep, is_busy=False)
    probe.release(watch)
    probe._look(time.sleep, is_busy=False)
    assert watch.reading == (2, 0)


@linux
def test_a_watched_thread_that_has_ended_is_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    probe = GilProbe()
    monkeypatch.setattr(probe, "_started", True)
    watches: list[Watch | None] = []
    thread = threading.Thread(target=lambda: watches.append(probe.watch()))
    thread.start()
    thread.join()
    eventually(lambda: str(thread.native_id) not in os.listdir("/proc/self/task"), 5)
    (watch,) = watches
    assert watch is not None
    probe._look(time.sleep, is_busy=True)
    assert watch.reading == (0, 0)


@linux
@pytest.mark.services
def test_computing_jobs_on_threads_show_their_wait_for_the_gil(platform: Platform) -> None:
    jobs = submit("cpu.queens", {"size": 12}, pool="threads", copies=3)
    platform.wait_for(*jobs)
    for job in jobs:
        parts = time_split(job)
        assert sum(parts.values()) == pytest.approx(job.run_s)
        assert job.gil_wait_s is not None
        assert parts["blocked"] < 0.1 * sum(parts.values())
    # Compared with the time in which they had a core: on a loaded machine they mostly wait for one.
    with_core_s = sum((job.run_s or 0) - (job.run_queue_s or 0) for job in jobs)
    assert sum(job.gil_wait_s or 0 for job in jobs) > 0.1 * with_core_s


@pytest.mark.services
@pytest.mark.parametrize("pool", ["gevent", "asyncio"])
def test_a_computing_job_stalls_the_waiting_one_and_is_shown_as_its_cause(
    platform: Platform, eventually: Callable[..., Any], pool: str
) -> None:
    (sleeper,) = submit("io.wait", {"duration_s": 2.5}, pool=pool)
    eventually(lambda: Job.objects.filter(pk=sleeper.pk, state=JobState.RUNNING).exists())
    (hog,) = submit("hazard.blocked_loop", {"compute_s": 0.6}, pool=pool)
    platform.wait_for(sleeper, hog)
    assert hog.caused_stall_s is not None
    assert sleeper.stall_s is not None
    # It computes by the clock; on a loaded machine it may wait for a core, which is not its fault.
    assert hog.cpu_s is not None
    assert sleeper.stall_s >= hog.caused_stall_s > 0.5 * hog.cpu_s
    assert sleeper.stall_s > 0.4
    assert sleeper.caused_stall_s == 0
    # Where the machine prolonged the stall to ten times what it caused, no job is shown.
    assert stalled_by(sleeper) == (hog if hog.caused_stall_s >= 0.1 * sleeper.stall_s else None)


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
