"""The parts of the pools: threads, alarms, interrupts, probes of limits."""

import ctypes
import gc
import os
import subprocess
import sys
import threading
import time
from contextlib import suppress
from typing import Any

import greenlet
import pytest
from celery import Celery
from celery.exceptions import SoftTimeLimitExceeded

from poolwise.metering.cpu_clocks import LagProbe
from poolwise.pools import interrupts
from poolwise.pools.interrupts import (
    HardStop,
    ThreadReach,
    Why,
    call_in_thread,
)
from poolwise.pools.limits import CALLS_C, COMPUTES, FUNCTION, SOFT
from poolwise.pools.request import PoolRequest, RequestState
from poolwise.pools.threads import Alarms, TaskPool
from poolwise.support.native_threads import DaemonThreads
from poolwise.transport.consumer import RECONNECT_WITHIN_S, PoolConsumer
from tests import ROOT
from tests.helpers.pace import eventually, limit_s
from tests.worker.stuck import limit_probes
from tests.worker.stuck.limit_probes import Body, _try, launch_beside, probe_all


def test_daemon_threads_stay_within_their_limit_and_are_used_again() -> None:
    threads, seen = DaemonThreads(3), set()

    def work() -> None:
        seen.add(threading.get_ident())
        time.sleep(0.01)

    for future in [threads.submit(work) for _ in range(12)]:
        future.result(5)
    assert len(seen) == 3


def test_what_a_daemon_thread_raises_comes_back() -> None:
    with pytest.raises(ZeroDivisionError):
        DaemonThreads(1).submit(lambda: 1 / 0).result(5)


def test_alarms_ring_in_order_and_not_when_cancelled() -> None:
    alarms, rung, done = Alarms(), [], threading.Event()
    alarms.call_later(0.3, lambda: rung.append("second"))
    alarms.call_later(0.1, lambda: rung.append("first"))
    alarms.call_later(0.2, lambda: rung.append("never")).cancel()
    alarms.call_later(0.31, done.set)
    assert done.wait(5)
    assert rung == ["first", "second"]


def test_cancelled_alarms_do_not_pile_up() -> None:
    alarms = Alarms()
    for _ in range(2000):
        alarms.call_later(3600, lambda: None).cancel()
    assert len(alarms._heap) < 2 * Alarms.SLACK + 2


@pytest.mark.slow
def test_an_interrupt_lands_in_the_body_or_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupts from another thread race with the ends of many short bodies."""
    # One that is raised in a callback of the interpreter is reported as unraisable and lost; the next may be raised in
    # the code with which pytest would report it.
    monkeypatch.setattr(sys, "unraisablehook", bool)
    reaches: list[ThreadReach] = []
    over = threading.Event()

    def fire() -> None:
        while not over.is_set():
            if reaches:
                reaches[-1](Why.SOFT)

    shooter = threading.Thread(target=fire)
    shooter.start()
    hits, end = 0, time.monotonic() + 1
    switch_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        while time.monotonic() < end:
            try:
                call_in_thread(reaches.append, lambda: sum(range(100)))
            except SoftTimeLimitExceeded:
                hits += 1
    finally:
        sys.setswitchinterval(switch_s)
        over.set()
        shooter.join()
    assert hits > 0


@pytest.mark.slow
@pytest.mark.parametrize("pool", ["threads", "gevent", "asyncio"])
def test_jobs_end_once_when_limits_and_revocations_race_with_their_ends(pool: str) -> None:
    command = [sys.executable, "-m", "tests.pools.stress", pool]
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.pools.settings"}
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=90)
    assert run.returncode == 0, run.stdout + run.stderr


def test_a_loop_that_is_blocked_now_shows_its_lag() -> None:
    probe = LagProbe()
    probe.woke()
    time.sleep(LagProbe.PERIOD_S + 0.05)
    now_s, worst_s = probe.read()
    assert 0.04 < now_s <= worst_s < limit_s(1)
    probe.woke()
    probe.woke()
    assert probe.read()[0] == 0


def test_the_pauses_between_reconnections_stay_within_seconds() -> None:
    pauses: list[float] = []

    class Connection:
        """A connection that records its pauses between attempts."""

        alt = ""

        def ensure_connection(self, errback: Any, retries: Any, callback: Any, **given: float) -> Any:
            pause_s = given["interval_start"]
            for _ in range(20):
                pauses.append(pause_s)
                pause_s = min(pause_s + given["interval_step"], given["interval_max"])
            return self

    worker = PoolConsumer.__new__(PoolConsumer)
    worker.app, worker.first_connection_attempt = Celery(set_as_current=False), True
    worker.app.conf.broker_connection_retry_on_startup = True
    connection = Connection()
    assert worker.ensure_connected(connection) is connection
    assert 0 < pauses[0] < 1
    assert max(pauses) == RECONNECT_WITHIN_S < 5


class Late:
    """A pool whose limits end the first jobs before their bodies begin."""

    is_green, table = True, None

    def __init__(self, too_late: int) -> None:
        self.launches, self._too_late = 0, too_late

    def launch(self, job: PoolRequest) -> None:
        self.launches += 1
        if self.launches > self._too_late:
            job.target()
        job.state = RequestState.ENDED

    def run_sync(self, job: PoolRequest, function: Any) -> None:
        function()

    def post(self, call: Any, *args: object) -> None:
        if call == self.launch:
            call(*args)


def test_a_probe_whose_limit_ended_it_before_it_began_is_repeated_a_few_times(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pool = Late(too_late=2)
    assert _try(pool, SOFT, FUNCTION, COMPUTES, time.sleep) is False
    assert pool.launches == 3
    with pytest.raises(TimeoutError, match="came to begin"):
        probe_all(Late(too_late=1000), time.sleep)
    monkeypatch.setattr(limit_probes, "_WITHIN_S", 0.05)
    monkeypatch.setattr(Late, "launch", lambda *_: None)
    with pytest.raises(TimeoutError, match="did not end"):
        probe_all(Late(too_late=0), time.sleep)


def test_only_an_end_before_a_c_call_returns_cuts_it_short() -> None:
    def run_body(body: Body) -> None:
        with suppress(HardStop):
            body.function()

    def stop() -> None:
        raise HardStop

    early, late, other = (Body(CALLS_C, 0.3, rounds=400_000) for _ in range(3))
    early.on_begin = stop
    run_body(early)
    begun = threading.Event()
    late.on_begin = begun.set
    worker = threading.Thread(target=run_body, args=(late,))
    worker.start()
    assert begun.wait(10)
    time.sleep(0.02)
    interrupts._raise_in(ctypes.c_ulong(worker.ident), HardStop)
    worker.join(20)
    other._rounds = -1  # refused within the call
    with pytest.raises(ValueError, match="iteration"):
        other.function()
    assert [body.was_cut_short for body in (early, late, other)] == [False, False, True]


def test_nothing_refers_to_the_greenlet_of_an_ended_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    # Greenlet would search all objects for its holders, and crashed workers by its conclusion.
    searched: list[Any] = []
    monkeypatch.setattr(gc, "get_referrers", lambda *objects: searched.append(objects) or [None])
    pool = TaskPool(limit=1, app=Celery(broker="memory://", set_as_current=False))
    kept = []
    for _ in range(3):
        job = PoolRequest(pool, 0, lambda: greenlet.getcurrent() is not None)
        launch_beside(pool, job)
        eventually(lambda job=job: job.state is RequestState.ENDED)
        kept.append(job)
    eventually(lambda: not any(thread.name == "probe" for thread in threading.enumerate()))
    for _ in range(1000):  # where the interpreter runs pending calls, among them those of greenlet
        pass
    assert len(kept) == 3
    assert searched == []
