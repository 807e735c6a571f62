"""A fixed piece of work, timed before each batch: how fast the machine is at that moment. docs/report.md.

Times of two sessions are divided by it, so that a machine that became slower does not look like slower code. Bundles
hold these times: a change of the work makes them wrong.
"""

import hashlib
import json
import time
from collections.abc import Sequence
from statistics import median

from poolwise.lifecycle import environment, heartbeats

#: A piece takes about 5 ms: longer than a glance of the scheduler, so short that all pieces take about 60 ms.
_PIECES = 11
_DOCUMENT = {
    "rows": [{"id": row, "name": f"job {row}", "values": [row * n for n in range(8)]} for row in range(120)]
}
_BLOCK = bytes(range(256)) * 512


def measure(workers: Sequence[heartbeats.WorkerHeartbeat]) -> float | None:
    """Return the seconds that one piece of work takes now; None if a worker runs on another machine than this process.

    The median of eleven pieces by the wall clock: what slows jobs, other programs included, slows it as well, and one
    interruption does not count.
    """
    here = environment.machine()
    if any(worker.machine != here for worker in workers):
        return None
    _piece()  # the first one fills the caches
    return round(median(_timed_s() for _ in range(_PIECES)), 7)


def _timed_s() -> float:
    begin_mono = time.perf_counter()
    _piece()
    return time.perf_counter() - begin_mono


def _piece() -> int:
    """Compute in Python, parse and write JSON, hash: about half, a quarter and a quarter of the time."""
    total = 0
    for number in range(30_000):
        total += number * number % 7
    text = json.dumps(_DOCUMENT)
    for _ in range(2):
        json.loads(text)
        hashlib.sha256(_BLOCK).digest()
    return total
