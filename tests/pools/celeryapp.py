"""A Celery app whose tasks record what a pool does to them; the tests start its workers as real processes."""

import asyncio
import contextvars
import json
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import redis
from celery import Celery, current_task, signals
from celery.exceptions import SoftTimeLimitExceeded
from django.db import connection, transaction
from django.utils import timezone, translation

import poolwise.pools
from poolwise.pools import api

poolwise.pools.install()
REDIS_URL = os.environ["POOLS_TEST_REDIS"]
NOTES = "pools-test-notes"

app = Celery("pools-test", task_cls="poolwise.pools.task:PoolTask", set_as_current=False)
app.conf.update(
    include=["tests.pools.forks"],
    broker_url=REDIS_URL,
    result_backend=REDIS_URL,
    task_acks_late=True,
    worker_prefetch_multiplier=int(os.environ.get("POOLS_TEST_PREFETCH", "2")),
    worker_consumer="poolwise.transport.consumer:PoolConsumer",
    worker_soft_shutdown_timeout=float(os.environ.get("POOLS_TEST_SOFT_SHUTDOWN_S", "0")),
    result_backend_thread_safe=True,
    broker_connection_retry_on_startup=True,
)


def note(what: str) -> None:
    """Record for the test what happened in the current job."""
    with redis.Redis.from_url(REDIS_URL) as client:
        client.rpush(NOTES, json.dumps([current_task.request.id, what]))


def compute(seconds: float) -> None:
    """Use the CPU of this thread for this time."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        sum(range(200))


def metered(start_s: float) -> float:
    return api.cpu_s() - start_s


@app.task
def add(a: int, b: int) -> int:
    return a + b


@app.task
def fail(text: str) -> None:
    raise ValueError(text)


@app.task(bind=True, max_retries=2)
def flaky(self: Any) -> int:
    if self.request.retries < 2:
        raise self.retry(countdown=0)
    return self.request.retries


@app.task(bind=True, autoretry_for=(ValueError,), max_retries=2, retry_backoff=False, default_retry_delay=0)
async def flaky_async(self: Any) -> int:
    await asyncio.sleep(0)
    if self.request.retries < 2:
        raise ValueError("again")
    return self.request.retries


@app.task(ignore_result=True)
def short() -> None:
    api.sleep(0.1)


@app.task(acks_late=False)
def short_early() -> None:
    api.sleep(0.1)


@app.task
def wait(seconds: float) -> str:
    """Block for this time; note how it ended."""
    try:
        note("began")  # a limit may come while it is noted
        api.sleep(seconds)
    except BaseException as error:
        note(type(error).__name__)
        raise
    note("ended")
    return "waited"


@app.task
async def wait_async(seconds: float) -> str:
    try:
        note("began")
        await asyncio.sleep(seconds)
    except BaseException as error:
        await asyncio.sleep(0.01)  # clean-up may wait
        note(type(error).__name__)
        raise
    note("ended")
    return "waited"


def _have_met(client: redis.Redis, place: str, number: int) -> bool:
    return int(client.get(place) or 0) >= number


@app.task
def meet(place: str, number: int, within_s: float) -> bool:
    """Block until `number` jobs are at the place; return whether they came in time."""
    until_mono = time.monotonic() + within_s
    with redis.Redis.from_url(REDIS_URL) as client:
        client.incr(place)
        while not _have_met(client, place, number) and time.monotonic() < until_mono:
            api.sleep(0.02)
        return _have_met(client, place, number)


@app.task
async def meet_async(place: str, number: int, within_s: float) -> bool:
    until_mono = time.monotonic() + within_s
    with redis.Redis.from_url(REDIS_URL) as client:
        client.incr(place)
        while not _have_met(client, place, number) and time.monotonic() < until_mono:
            await asyncio.sleep(0.02)
        return _have_met(client, place, number)


@app.task(acks_late=False)
def wait_early(seconds: float) -> None:
    wait.run(seconds)


@app.task
def catch_soft(seconds: float) -> float:
    """Return after how many seconds the soft limit came."""
    start = time.monotonic()
    try:
        api.sleep(seconds)
    except SoftTimeLimitExceeded:
        return time.monotonic() - start
    raise AssertionError("no soft limit came")


@app.task
async def catch_soft_async(seconds: float) -> float:
    start = time.monotonic()
    try:
        async with asyncio.TaskGroup() as group:
            child = group.create_task(asyncio.sleep(seconds))
    except SoftTimeLimitExceeded:
        assert child.cancelled()
        await asyncio.sleep(0.01)
        return time.monotonic() - start
    raise AssertionError("no soft limit came")


@app.task
def burn(seconds: float) -> str:
    """Compute; return what interrupted it."""
    try:
        compute(seconds)
    except SoftTimeLimitExceeded:
        return "soft"
    return "to the end"


@app.task
def stubborn(seconds: float) -> None:
    """Ignore every interrupt."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            api.sleep(0.5)
        except BaseException:
            note("ignored")


@app.task
async def stubborn_async(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            await asyncio.sleep(0.5)
        except BaseException:
            note("ignored")


@app.task(runs_own_body=True)
def shielded() -> list[str]:
    """Return what the platform's calls and the body saw of a soft limit that came during the first call."""
    seen = [api.offload(lambda: time.sleep(0.5) or "whole")]
    try:
        api.run_sync(lambda: "body")
    except SoftTimeLimitExceeded:
        seen.append("soft")
    return [*seen, api.offload(lambda: "reported")]


@app.task(bind=True)
def identity(self: Any) -> list[str]:
    seen = [current_task.request.id, self.request.id]
    api.sleep(0.02)
    return [*seen, self.request.id]


@app.task
async def identity_async() -> list[str]:
    """Return the id of the current task as each part of the job sees it."""
    seen = []

    async def see_task() -> None:
        await asyncio.sleep(0.001)
        seen.append(current_task.request.id)

    for _ in range(5):
        await see_task()
    async with asyncio.TaskGroup() as group:
        group.create_task(see_task())
    await asyncio.gather(see_task(), asyncio.wait_for(see_task(), 5))
    return [*seen, await asyncio.to_thread(lambda: current_task.request.id)]


@app.task
def get_inside(queue: str) -> str:
    try:
        add.apply_async((1, 1), queue=queue).get(timeout=5)
    except RuntimeError:
        return "refused"
    return "waited"


@app.task
def delay_inside(queue: str) -> str:
    return str(add.apply_async((20, 3), queue=queue).id)


@app.task
def measure_burn(seconds: float) -> float:
    start_s = api.cpu_s()
    compute(seconds)
    return metered(start_s)


@app.task
async def measure_burn_async(seconds: float) -> float:
    """Compute a third of it in the coroutine, in a child task and in a thread each."""
    start_s = api.cpu_s()

    async def part() -> None:
        await asyncio.sleep(0)
        compute(seconds / 3)

    await part()
    await asyncio.create_task(part())
    await asyncio.to_thread(compute, seconds / 3)
    return metered(start_s)


@app.task
def measure_wait(seconds: float) -> float:
    start_s = api.cpu_s()
    for _ in range(10):
        api.sleep(seconds / 10)
    return metered(start_s)


@app.task
async def measure_wait_async(seconds: float) -> float:
    start_s = api.cpu_s()
    for _ in range(10):
        await asyncio.sleep(seconds / 10)
    return metered(start_s)


@app.task(runs_own_body=True)
def measure_from_outside(seconds: float) -> float:
    """Measure around the body, as the platform does."""
    start_s = api.cpu_s()
    api.run_sync(compute, seconds)
    return metered(start_s)


@app.task
def measure_green_children(seconds: float) -> float:
    import gevent

    start_s = api.cpu_s()
    gevent.joinall([gevent.spawn(compute, seconds / 2), gevent.spawn(compute, seconds / 2)])
    return metered(start_s)


@app.task
def measure_threads(seconds: float) -> float:
    """Compute a quarter of it each in a thread, in one that this starts, in one of an executor, and in one not joined."""
    start_s = api.cpu_s()

    def outer() -> None:
        compute(seconds / 4)
        inner = threading.Thread(target=compute, args=(seconds / 4,))
        inner.start()
        inner.join()

    thread = threading.Thread(target=outer)
    thread.start()
    thread.join()
    with ThreadPoolExecutor(1) as executor:
        executor.submit(compute, seconds / 4).result()
    done, end = threading.Event(), threading.Event()
    threading.Thread(target=lambda: (compute(seconds / 4), done.set(), end.wait())).start()
    done.wait()
    used_s = metered(start_s)
    end.set()
    return used_s


COMPUTE_IN_PROGRAM = """
import time
end = {} + time.process_time()
while time.process_time() < end: pass
print("computed", flush=True)
"""


@app.task
def measure_program(seconds: float) -> float:
    start_s = api.cpu_s()
    subprocess.run([sys.executable, "-S", "-c", COMPUTE_IN_PROGRAM.format(seconds)], check=True)
    return metered(start_s)


@app.task
def measure_left_program(seconds: float) -> float:
    """Leave a program running that has computed this long."""
    start_s = api.cpu_s()
    code = COMPUTE_IN_PROGRAM.format(seconds) + "time.sleep(1)"
    left = subprocess.Popen([sys.executable, "-S", "-c", code], stdout=subprocess.PIPE)
    assert left.stdout is not None
    left.stdout.readline()
    LEFT.append(left)
    return metered(start_s)


LEFT: list[subprocess.Popen[bytes]] = []


@app.task
def wait_for_left_programs() -> float:
    start_s = api.cpu_s()
    while LEFT:
        LEFT.pop().wait()
    return metered(start_s)


@app.task
def measure_forked(seconds: float) -> float:
    start_s = api.cpu_s()
    pid = os.fork()
    if pid == 0:
        compute(seconds)
        os._exit(0)
    os.waitpid(pid, 0)
    return metered(start_s)


@app.task
async def measure_program_async(seconds: float) -> float:
    start_s = api.cpu_s()
    code = COMPUTE_IN_PROGRAM.format(seconds)
    program = await asyncio.create_subprocess_exec(sys.executable, "-S", "-c", code)
    await program.wait()
    return metered(start_s)


@app.task
def measure_native_thread(seconds: float) -> float:
    """Compute in a thread of gevent's own pool."""
    import gevent

    start_s = api.cpu_s()
    gevent.get_hub().threadpool.apply(compute, (seconds,))
    return metered(start_s)


@app.task
def where() -> list[Any]:
    api.sleep(0.05)
    return [api.greenlet_or_task(), api.on_loop(), api.slots_in_use()]


@app.task(runs_own_body=True)
def lag(seconds: float) -> float:
    """Block the loop for this time; return the largest lag that this worker then shows."""
    api.loop_lag_s()
    compute(seconds)
    return api.loop_lag_s()[1]


@app.task
async def leave_a_stray() -> None:
    async def stray() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            note("stray cancelled")

    asyncio.get_running_loop().stray = asyncio.create_task(stray())  # type: ignore[attr-defined]
    await asyncio.sleep(0.01)


@app.task
async def end_the_loop() -> None:
    """Schedule an exit on the loop, as no job should."""
    asyncio.get_running_loop().call_soon(sys.exit, 3)
    await asyncio.sleep(30)


@app.task
async def use_anyio(url: str) -> list[str]:
    """Return the outcomes of a cancelled scope, of a task group and of an HTTP request."""
    import anyio
    import httpx

    seen: list[str] = []

    async def fetch() -> None:
        async with httpx.AsyncClient() as client:
            seen.append(str((await client.get(url)).status_code))

    with anyio.move_on_after(0.1) as scope:
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.sleep, 30)
    seen.append(f"cancelled {scope.cancelled_caught}")
    async with anyio.create_task_group() as group:
        group.start_soon(fetch)
    await fetch()
    return seen


@app.task
async def call_synchronous_code(own: int) -> list[Any]:
    """Return the results of plain functions in Django's thread, another thread, an executor, and back on the loop."""
    from concurrent.futures import ThreadPoolExecutor

    from asgiref.sync import async_to_sync, sync_to_async

    def wait_and_ask() -> int:
        time.sleep(0.01)
        with connection.cursor() as cursor:
            return int(cursor.execute("select %s", [own]).fetchone()[0])

    async def echo() -> int:
        await asyncio.sleep(0.01)
        return own

    asked = [await sync_to_async(wait_and_ask)() for _ in range(3)]
    asked.append(await sync_to_async(wait_and_ask, thread_sensitive=False)())
    asked.append(await sync_to_async(async_to_sync(echo))())
    with ThreadPoolExecutor(2) as executor:
        loop = asyncio.get_running_loop()
        asked += await asyncio.gather(*(loop.run_in_executor(executor, wait_and_ask) for _ in range(3)))
    return asked


MARK: contextvars.ContextVar[str] = contextvars.ContextVar("mark", default="none")
#: What a job may do to its database connection.
HARM = {
    "an open transaction": lambda: transaction.atomic().__enter__(),
    "changed autocommit": lambda: connection.set_autocommit(False),
    "a setting of the session": lambda: connection.cursor().execute("pragma cache_size = 77"),
    "a closed raw connection": lambda: connection.connection.close(),
}


def look_around() -> list[Any]:
    """Return what earlier jobs may have changed: context variables, time zone, language, the connection."""
    size = connection.cursor().execute("pragma cache_size").fetchone()[0]
    surroundings = [MARK.get(), timezone.get_current_timezone_name(), translation.get_language()]
    return [*surroundings, connection.in_atomic_block, connection.get_autocommit(), size]


def change_surroundings(harm: str) -> None:
    MARK.set(harm)
    timezone.activate("Asia/Tokyo")
    translation.activate("fr")
    HARM[harm]()


@app.task
def leave_changes(harm: str) -> list[Any]:
    seen = look_around()
    change_surroundings(harm)
    time.sleep(0.01)
    return seen


@app.task
async def leave_changes_async(harm: str) -> list[Any]:
    from asgiref.sync import sync_to_async

    seen = await sync_to_async(look_around)()
    await sync_to_async(change_surroundings)(harm)
    await asyncio.sleep(0.01)  # other jobs run meanwhile
    seen_by_thread = await asyncio.to_thread(lambda: [*look_around()[3:], HARM[harm]()][:3])
    return seen if seen[3:] == seen_by_thread else seen_by_thread


@app.task
def call_another_in_a_transaction() -> bool:
    """Return whether a task that a body calls leaves its transaction open."""
    with transaction.atomic():
        leave_a_query()
        leave_a_query.apply()
        return connection.in_atomic_block


@app.task
def leave_a_query() -> None:
    connection.cursor().execute("select 1")


@app.task
def run_loops_of_its_own() -> list[int]:
    """Return the results of a query, of `asyncio.run` and of asgiref, while other jobs do the same."""
    from asgiref.sync import async_to_sync

    async def wait() -> int:
        async with asyncio.timeout(10):
            await asyncio.sleep(0.02)
            time.sleep(0.01)  # gevent switches to other jobs within this step
            await asyncio.sleep(0.02)
        return 1

    def ask() -> int:
        with connection.cursor() as cursor:
            return int(cursor.execute("select 1").fetchone()[0])

    return [ask(), asyncio.run(wait()), ask(), async_to_sync(wait)(), ask()]


@app.task
async def start_a_process() -> str:
    process = await asyncio.create_subprocess_exec("echo", "here", stdout=asyncio.subprocess.PIPE)
    return (await process.communicate())[0].decode().strip()


@signals.task_prerun.connect
@signals.task_postrun.connect
@signals.task_success.connect
@signals.task_failure.connect
@signals.task_retry.connect
def _note_signal(signal: Any = None, sender: Any = None, **_: Any) -> None:
    if sender.name.endswith((".add", ".fail")) and (sender.request.headers or {}).get("signals"):
        note(next(name for name in dir(signals) if getattr(signals, name) is signal))
