"""Tasks that fork and start processes."""

import asyncio
import multiprocessing
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from tests.pools import children
from tests.pools.celeryapp import REDIS_URL, app, note


@app.task
def use_processes(method: str) -> list[Any]:
    """Return two exit statuses, what a queue brought, and what a pool and an executor returned."""
    context = multiprocessing.get_context(method)
    results = context.Queue()
    started = [
        context.Process(target=children.put_double, args=(4, results)),
        context.Process(target=children.run_program),
    ]
    for process in started:
        process.start()
    found: list[Any] = [results.get(timeout=30)]
    for process in started:
        process.join()
        found.append(process.exitcode)
    with context.Pool(2) as pool:
        found.append(pool.map(children.double, range(20)))
    with ProcessPoolExecutor(2, mp_context=context) as executor:
        found.append(list(executor.map(children.double, range(5))))
    return found


@app.task
def pass_large_values() -> list[int]:
    """Return the sizes of what went to and from processes: more than a pipe takes at once."""
    with multiprocessing.get_context("fork").Pool(2) as pool:
        sent = pool.map(len, [b"x" * 1_000_000] * 3, chunksize=1)
        return sent + [len(value) for value in pool.map(bytes, [1_000_000] * 3, chunksize=1)]


@app.task
def terminate() -> list[int | None]:
    """Return the exit statuses of processes that were asked to end: as soon as they began, and later."""
    started = [
        multiprocessing.get_context("fork").Process(target=children.wait, args=(30,)) for _ in range(21)
    ]
    for number, process in enumerate(started):
        process.start()
        time.sleep(0.3 * (number == 0))
        process.terminate()
    for process in started:
        process.join(10)
        process.kill()
    return sorted({process.exitcode for process in started})


@app.task
def fork_and_return(ending: str) -> list[int]:
    """Return the exit status of a forked process that waits, then leaves this task."""
    if (pid := os.fork()) == 0:
        time.sleep(0.4)
        _end(ending)
        return [-1]
    return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])]


@app.task
async def fork_and_return_async(ending: str) -> list[int]:
    if (pid := os.fork()) == 0:
        if ending == "awaits":
            await asyncio.sleep(0.2)
            note("awaited")
        _end(ending)
        return [-1]
    return [os.waitstatus_to_exitcode((await asyncio.to_thread(os.waitpid, pid, 0))[1])]


def _end(ending: str) -> None:
    if ending == "fails":
        raise ValueError("in the forked process")
    if ending == "exits":
        sys.exit(4)


@app.task
def count_connections() -> int:
    """Return how many connections to Redis a forked process has."""
    receives, sends = multiprocessing.Pipe(duplex=False)
    port = int(REDIS_URL.rsplit(":", 1)[1].split("/")[0])
    process = multiprocessing.get_context("fork").Process(target=children.send_state, args=(sends, port))
    process.start()
    found: int = receives.recv()
    process.join()
    return found


LEFT: list[Any] = []


@app.task
def leave_processes() -> list[int]:
    """Leave a process and a pool running; return the ids of their processes."""
    context = multiprocessing.get_context("fork")
    context.Process(target=children.wait, args=(60,)).start()
    LEFT.append(context.Pool(2))
    return [process.pid for process in multiprocessing.active_children() if process.pid]


@app.task
async def start_in_coroutine() -> list[str]:
    refusals = []
    process = multiprocessing.get_context("spawn").Process(target=children.wait, args=(0,))
    for start in (os.fork, process.start):
        try:
            start()
        except NotImplementedError as error:
            refusals.append(str(error))
    return refusals


@app.task
async def use_executor_in_coroutine() -> list[int]:
    loop = asyncio.get_running_loop()
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as executor:
        doubles = (loop.run_in_executor(executor, children.double, number) for number in range(5))
        return list(await asyncio.gather(*doubles))
