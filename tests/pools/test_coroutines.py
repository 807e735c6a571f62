"""Coroutine bodies and their loop, without a worker."""

import asyncio
import contextvars
import threading
import time
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from celery.exceptions import SoftTimeLimitExceeded
from django.db import connection, connections

from poolwise.metering.cpu_clocks import METER, Meter
from poolwise.pools import api, prefork
from poolwise.pools.coroutines import CoroutineBody, run_in_this_thread
from poolwise.pools.interrupts import (
    BodyCancelled,
    ChildExited,
    HardStop,
    Why,
)
from poolwise.pools.loop import JobLoop, MeteredCoroutine


def compute(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def on_loop(coro: Any) -> Any:
    with asyncio.Runner(loop_factory=JobLoop) as runner:
        return runner.run(coro)


def test_without_a_pool_calls_are_made_here() -> None:
    async def body() -> int:
        await asyncio.sleep(0)
        return 5

    assert api.run_coroutine(body()) == 5
    assert api.run_sync(lambda a, b=0: a + b, 1, b=2) == 3
    assert api.offload(max, 1, 2) == 2
    assert (api.on_loop(), api.greenlet_or_task(), api.loop_lag_s()) == (False, "", (0.0, 0.0))


def test_without_a_pool_cpu_time_is_the_threads() -> None:
    start_s = api.cpu_s()
    compute(0.05)
    api.sleep(0.05)
    assert api.cpu_s() - start_s == pytest.approx(0.05, abs=0.02)


def test_a_coroutine_that_cancels_itself_fails() -> None:
    async def body() -> None:
        raise asyncio.CancelledError

    with pytest.raises(BodyCancelled, match="was cancelled, though not by the pool"):
        api.run_coroutine(body())


def test_a_soft_limit_cancels_the_group_in_which_a_body_waits() -> None:
    children = []

    async def body() -> None:
        async with asyncio.TaskGroup() as group:
            children.append(group.create_task(asyncio.sleep(9)))

    async def main() -> None:
        stopped = CoroutineBody(body())
        asyncio.get_running_loop().call_later(0.01, stopped.cancel, Why.SOFT)
        await stopped.run()

    with pytest.raises(SoftTimeLimitExceeded):
        on_loop(main())
    assert children[0].cancelled()


def test_a_body_interrupted_from_another_thread_ends() -> None:
    body = CoroutineBody(asyncio.sleep(9))
    threading.Timer(0.02, body.interrupt, [Why.HARD]).start()
    with pytest.raises(HardStop):
        on_loop(body.run())


def test_a_body_interrupted_before_it_began_does_not_begin() -> None:
    body = CoroutineBody(asyncio.sleep(9))
    body.interrupt(Why.HARD)
    with pytest.raises(HardStop):
        on_loop(body.run())


def test_a_child_task_cannot_end_the_loop_of_all_jobs() -> None:
    async def leave() -> None:
        raise SystemExit(3)

    async def main() -> None:
        METER.set(Meter())
        await asyncio.create_task(leave())

    with pytest.raises(ChildExited):
        on_loop(main())


def test_a_body_that_exits_ends_as_a_function_does_and_leaves_the_loop_and_no_task() -> None:
    loops, parts = [], []

    async def leave() -> None:
        loops.append(asyncio.get_running_loop())
        parts.append(asyncio.create_task(asyncio.sleep(9)))
        await asyncio.sleep(0)
        raise SystemExit(3)

    def run() -> None:
        METER.set(Meter())
        run_in_this_thread(CoroutineBody(leave()))

    for _ in range(2):
        with pytest.raises(SystemExit):
            contextvars.copy_context().run(run)
    assert loops[0] is loops[1]
    assert all(part.cancelled() for part in parts)


def test_a_signal_that_ends_the_process_of_a_job_ends_its_loop_too(monkeypatch: pytest.MonkeyPatch) -> None:
    cleaned = []

    async def leave() -> None:
        try:
            raise SystemExit(-241)
        finally:
            cleaned.append(1)

    async def main() -> None:
        METER.set(Meter())
        await asyncio.create_task(leave())

    monkeypatch.setattr(prefork, "is_ending", lambda: True)
    with pytest.raises(SystemExit):
        on_loop(main())
    assert cleaned == [1]


def test_child_tasks_and_threads_count_for_their_job() -> None:
    async def part() -> None:
        await asyncio.sleep(0)
        compute(0.05)

    async def main() -> float:
        METER.set(meter := Meter())
        await asyncio.gather(part(), part(), asyncio.to_thread(compute, 0.05))
        return meter.loop_s()

    assert on_loop(main()) == pytest.approx(0.15, abs=0.02)


def test_a_metered_coroutine_looks_like_one() -> None:
    async def part() -> None:
        pass

    metered = MeteredCoroutine(part(), Meter())
    assert asyncio.iscoroutine(metered)
    assert (metered.__name__, metered.cr_running) == ("part", False)
    with pytest.raises(AttributeError):
        _ = metered.gi_frame
    metered.close()


@pytest.mark.django_db(transaction=True)
def test_a_thread_closes_stale_connections_before_the_next_job() -> None:
    seen: list[Any] = []

    def ask() -> None:
        with connection.cursor() as cursor:
            cursor.execute("select 1")
        seen.append(connection.connection)
        connection.close_at = 0  # too old: SQLite's connections cannot break

    async def job() -> None:
        METER.set(Meter())
        await sync_to_async(ask)()
        await sync_to_async(ask)()

    on_loop(job())
    on_loop(job())
    on_loop(sync_to_async(connections.close_all)())
    assert seen[0] is seen[1] is not seen[2] is seen[3]
