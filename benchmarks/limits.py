"""What this machine can do at most: `python -m benchmarks.limits [--rounds 5]`.

Each figure is one that no queue can pass which does the same for each job: a round trip to Redis, a row in the database, a
switch to another thread, a wait, or 20 ms of computing. `benchmarks.peers` measures them in each of its rounds.
"""

import argparse
import asyncio
import os
import secrets
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from statistics import median
from typing import Any

import psycopg

from benchmarks.peers import processes, servers
from benchmarks.peers.servers import Servers

_FOR_S = 0.5
_BATCH = 200
_WAITS, _SLOTS, _WAIT_S = 2_000, 500, 0.1
_COMPUTING_JOBS, _COMPUTING_S = 100, 0.02
_COLUMNS = "id text PRIMARY KEY, state text, started float8, ended float8, worker text, result text"
_TABLE = "bench_limits"


def measured(running: Servers) -> Iterator[tuple[str, float]]:
    """Yield the limits, each with its unit in its name; about five seconds."""
    client = running.client()
    yield "Redis round trips/s", _per_second(lambda: client.get("none"))
    yield "Redis commands/s, 100 at once", 100 * _per_second(lambda: _hundred(client))
    yield f"rows/s, {running.database}", _BATCH * _rows_per_second(running)
    yield "thread switches/s", _thread_switches()
    yield "bare threads (100), waits of 100 ms: ideal / actual", _bare_threads()
    yield "bare asyncio (500), waits of 100 ms: ideal / actual", asyncio.run(_bare_coroutines())
    yield "bare gevent (500), waits of 100 ms: ideal / actual", _in_own_process("_bare_greenlets")
    yield "bare processes (2), computing of 20 ms: ideal / actual", _in_own_process("_bare_processes")


def _per_second(step: Callable[[], object]) -> float:
    step()
    count, begin_mono = 0, time.perf_counter()
    while (took_s := time.perf_counter() - begin_mono) < _FOR_S:
        step()
        count += 1
    return count / took_s


def _hundred(client: Any) -> None:
    pipe = client.pipeline(transaction=False)
    for _ in range(100):
        pipe.get("none")
    pipe.execute()


def _new_rows() -> list[tuple[object, ...]]:
    now = time.time()
    return [(secrets.token_hex(16), "succeeded", now, now, "threads-1@host", "null") for _ in range(_BATCH)]


def _rows_per_second(running: Servers) -> float:
    """Return batches of rows stored a second, each in a transaction: COPY in PostgreSQL, `executemany` in SQLite."""
    if running.postgres:
        with psycopg.connect(running.postgres.url, autocommit=True) as connection:
            connection.execute(f"DROP TABLE IF EXISTS {_TABLE}".encode())
            connection.execute(f"CREATE TABLE {_TABLE} ({_COLUMNS})".encode())
            return _per_second(lambda: _copy(connection))
    with closing(sqlite3.connect(running.directory / "limits.sqlite3", isolation_level=None)) as lite:
        lite.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;")
        lite.execute(f"CREATE TABLE IF NOT EXISTS {_TABLE} ({_COLUMNS})")
        return _per_second(lambda: _insert(lite))


def _copy(connection: psycopg.Connection) -> None:
    with connection.cursor().copy(f"COPY {_TABLE} FROM STDIN".encode()) as copy:
        for row in _new_rows():
            copy.write_row(row)


def _insert(lite: sqlite3.Connection) -> None:
    lite.execute("BEGIN")
    lite.executemany(f"INSERT INTO {_TABLE} VALUES (?, ?, ?, ?, ?, ?)", _new_rows())
    lite.execute("COMMIT")


def _thread_switches() -> float:
    """Return how often a second one thread wakes another by a lock."""
    ping, pong, rounds = threading.Lock(), threading.Lock(), 5_000

    def answer() -> None:
        for _ in range(rounds):
            ping.acquire()
            pong.release()

    ping.acquire()
    pong.acquire()
    other = threading.Thread(target=answer)
    other.start()
    begin_mono = time.perf_counter()
    for _ in range(rounds):
        ping.release()
        pong.acquire()
    took_s = time.perf_counter() - begin_mono
    other.join()
    return 2 * rounds / took_s


def _bare_threads() -> float:
    from concurrent.futures import ThreadPoolExecutor

    slots, waits = 100, 400
    with ThreadPoolExecutor(slots) as pool:
        list(pool.map(time.sleep, [0.01] * slots))
        begin_mono = time.perf_counter()
        list(pool.map(time.sleep, [_WAIT_S] * waits))
        return _WAIT_S * waits / slots / (time.perf_counter() - begin_mono)


async def _bare_coroutines() -> float:
    slots = asyncio.Semaphore(_SLOTS)

    async def one() -> None:
        async with slots:
            await asyncio.sleep(_WAIT_S)

    begin_mono = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(_WAITS)))
    return _WAIT_S * _WAITS / _SLOTS / (time.perf_counter() - begin_mono)


def _bare_greenlets() -> float:
    import gevent
    from gevent.pool import Pool

    pool, begin_mono = Pool(_SLOTS), time.perf_counter()
    for _ in range(_WAITS):
        pool.spawn(gevent.sleep, _WAIT_S)
    pool.join()
    return _WAIT_S * _WAITS / _SLOTS / (time.perf_counter() - begin_mono)


def _compute(_: int = 0) -> None:
    until_s, total = time.thread_time() + _COMPUTING_S, 0
    while time.thread_time() < until_s:
        for number in range(500):
            total += number * number & 7


def _bare_processes() -> float:
    import multiprocessing

    with multiprocessing.get_context("fork").Pool(2) as pool:
        pool.map(_compute, range(4), chunksize=1)
        begin_mono = time.perf_counter()
        pool.map(_compute, range(_COMPUTING_JOBS), chunksize=1)
        return _COMPUTING_S * _COMPUTING_JOBS / 2 / (time.perf_counter() - begin_mono)


def _in_own_process(name: str) -> float:
    # Greenlets and forks do not mix with the threads of this process.
    code = f"from benchmarks import limits; print(limits.{name}())"
    command = [sys.executable, "-c", code]
    return float(subprocess.check_output(command, cwd=processes.ROOT, env=os.environ, text=True))


def main() -> None:
    """Print the medians over rounds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--database", choices=("postgres", "sqlite"), default="postgres")
    options = parser.parse_args()
    found: dict[str, list[float]] = {}
    processes.clean_up_at_sigterm()
    with servers.running(options.database, durable=True) as running:
        for _ in range(options.rounds):
            for name, value in measured(running):
                found.setdefault(name, []).append(value)
    for name, values in found.items():
        print(f"{name:55}  {median(values):>12,.2f}  ({min(values):,.2f}–{max(values):,.2f})")


if __name__ == "__main__":
    main()
