"""What a job starts is charged to it: threads, calls of an executor, programs; without a worker around it."""

import _thread
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context
from multiprocessing.process import BaseProcess
from types import SimpleNamespace

import pytest

from poolwise.metering import METER, Meter, child_threads, programs
from poolwise.pools import base, body_probe
from poolwise.pools.body_probe import BodyProbe
from poolwise.pools.request import CURRENT, PoolRequest
from poolwise.support import kill_all
from tests.helpers.pace import eventually


def burn(cpu_s: float) -> None:
    until = time.thread_time() + cpu_s
    while time.thread_time() < until:
        pass


@pytest.fixture(autouse=True)
def hooks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Install the hooks for one test."""
    for owner, name in (
        (threading.Thread, "start"), (ThreadPoolExecutor, "submit"), (subprocess.Popen, "__init__"),
        (os, "fork"), (os, "posix_spawn"), (os, "posix_spawnp"), (os, "system"), (BaseProcess, "start"),
        (os, "waitpid"), (programs._subprocess._del_safe, "waitpid"),
    ):  # fmt: skip
        monkeypatch.setattr(owner, name, getattr(owner, name))
    for module in (child_threads, programs):
        monkeypatch.setattr(module, "_installed", set())
        module.install()


def charged(body: Callable[[], object]) -> Meter:
    """Run the body as a job; return its meter."""
    meter = Meter()

    def job() -> None:
        METER.set(meter)
        body()

    Context().run(job)
    return meter


def test_a_thread_and_what_it_starts_are_charged_once() -> None:
    executor = ThreadPoolExecutor(1)

    def outer() -> None:
        burn(0.03)
        executor.submit(burn, 0.03).result()

    def body() -> None:
        thread = threading.Thread(target=outer)
        thread.start()
        thread.join()

    assert charged(body).elsewhere_s() == pytest.approx(0.06, abs=0.02)
    # The executor's thread outlives that job: what it does for the next one is charged to the next.
    assert charged(lambda: executor.submit(burn, 0.05).result()).elsewhere_s() == pytest.approx(
        0.05, abs=0.02
    )
    executor.shutdown()


def test_a_call_within_a_call_of_the_same_thread_is_charged_once() -> None:
    meter = Meter()
    with ThreadPoolExecutor(1) as executor:
        executor.submit(meter.call, meter.call, burn, 0.05).result()
    assert meter.elsewhere_s() == pytest.approx(0.05, abs=0.02)


def test_a_thread_that_goes_on_is_charged_so_far_and_a_failed_one_fully() -> None:
    burnt, end = threading.Event(), threading.Event()

    def go_on() -> None:
        burn(0.03)
        burnt.set()
        end.wait(5)

    def fail() -> None:
        burn(0.03)
        raise ZeroDivisionError

    def body() -> None:
        threading.Thread(target=go_on).start()
        with ThreadPoolExecutor(1) as executor:
            assert executor.submit(fail).exception() is not None
        burnt.wait(5)

    meter = charged(body)
    assert meter.elsewhere_s() == pytest.approx(0.06, abs=0.02)
    end.set()


def test_what_starts_outside_jobs_is_left_alone() -> None:
    thread = threading.Thread(target=burn, args=(0.0,))
    thread.start()
    assert "run" not in vars(thread)
    thread.join()
    assert subprocess.run([sys.executable, "-S", "-c", ""], check=True).returncode == 0
    assert programs._owners == {}


def test_a_program_is_charged_to_the_job_that_started_it_whoever_waits_for_it() -> None:
    started: list[subprocess.Popen[bytes]] = []
    code = "import time\nwhile time.process_time() < 0.1: pass"
    first = charged(lambda: started.append(subprocess.Popen([sys.executable, "-S", "-c", code])))
    before_s = programs.of_others_s()
    second = charged(lambda: started[0].wait())
    assert 0.09 < first.elsewhere_s() < 0.25
    assert second.elsewhere_s() == 0
    # prefork subtracts it from the second
    assert programs.of_others_s() - before_s == pytest.approx(first.of_programs_s())
    assert not first.programs


def test_a_program_that_cannot_start_raises_as_ever() -> None:
    def body() -> None:
        with pytest.raises(FileNotFoundError):
            subprocess.run(["/no/such/program"], check=False)

    assert charged(body).elsewhere_s() < 0.1
    with pytest.raises(ChildProcessError):
        os.waitpid(1, 0)


def test_every_way_to_start_a_program_is_noted_and_its_family_found() -> None:
    command, ways = ["/bin/sh", "-c", "sleep 30; true"], []
    opened: list[subprocess.Popen[bytes]] = []

    def body() -> None:
        opened.append(subprocess.Popen(command))
        ways.append(opened[0].pid)
        ways.append(os.posix_spawn(command[0], command, os.environ))
        ways.append(os.spawnv(os.P_NOWAIT, command[0], command))

    meter = charged(body)
    assert {program.pid for program in programs.running(meter)} == set(ways) == meter.programs
    eventually(lambda: len(programs.families(meter)) == 2 * len(ways))
    kill_all(programs.families(meter))
    eventually(lambda: programs.running(meter) == [])
    opened[0].wait()
    for pid in ways[1:]:
        os.waitpid(pid, 0)
    assert not meter.programs


def test_a_process_that_another_one_has_started_is_never_taken_for_a_program_of_the_job() -> None:
    meter = Meter()
    meter.programs.add(1)  # as if waited for unnoticed, and its id used again
    assert programs.running(meter) == programs.families(meter) == []


def test_a_program_that_somebody_else_has_waited_for_is_forgotten() -> None:
    ended: list[int] = []

    def body() -> None:
        ended.append(os.spawnv(os.P_NOWAIT, "/bin/true", ["true"]))
        os.wait4(ended[0], 0)  # which shows us nothing, as a server of forks

    meter = charged(body)
    assert programs.running(meter) == []
    assert ended[0] not in programs._owners
    assert not meter.programs


def test_the_shell_of_os_system_is_a_program_of_the_job_and_returns_its_status() -> None:
    statuses: list[int] = []
    commands = ("exit 3", "kill -9 $$", "true")
    meter = charged(lambda: statuses.extend(map(os.system, commands)))
    assert statuses == list(map(os.system, commands))
    assert len(meter.programs_s) == 3


@pytest.mark.parametrize("beside", [0, 1])
def test_cpu_time_of_threads_that_no_hook_shows_is_said_to_be_missing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, beside: int
) -> None:
    """As the threads of a native library; if other jobs run beside it, nobody can say whose they are."""
    pool = SimpleNamespace(active=1 + beside, launched=1, stalls=None, on_loop=lambda: False)
    monkeypatch.setattr(base, "running_pool", lambda: pool)
    monkeypatch.setattr(body_probe, "_MISSING_SHARE", 0.02)  # of the run, which is long on a busy machine
    done = threading.Event()

    def native() -> None:
        burn(0.2)
        done.set()

    def body() -> None:
        CURRENT.set(PoolRequest(pool, 1, lambda: None))
        probe, start_s = BodyProbe(), time.thread_time()
        _thread.start_new_thread(native, ())
        done.wait(10)
        probe.end(time.thread_time() - start_s)

    with caplog.at_level(logging.WARNING, body_probe.__name__):
        charged(body)
    assert ("its CPU time lacks them" in caplog.text) == (not beside)


def test_a_job_that_computes_itself_lacks_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pool = SimpleNamespace(active=1, launched=1, stalls=None, on_loop=lambda: False)
    monkeypatch.setattr(base, "running_pool", lambda: pool)

    def body() -> None:
        CURRENT.set(PoolRequest(pool, 1, lambda: None))
        probe, start_s = BodyProbe(), time.thread_time()
        burn(0.2)
        probe.end(time.thread_time() - start_s)

    charged(body)
    assert caplog.text == ""
