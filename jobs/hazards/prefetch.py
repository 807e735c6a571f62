"""Short jobs that a worker has reserved and cannot start, because a slow one is ahead of them."""

import queue
import statistics
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import Field

from jobs.data import Seed, seeded
from jobs.hazards import lessons
from jobs.hazards.together import together
from poolwise import job

Prefetch = Annotated[
    Literal[1, 4], Field(description="Messages that a consumer reserves, the running one included.")
]


@dataclass(frozen=True, slots=True)
class _Message:
    duration_s: float
    is_slow: bool


@dataclass(slots=True)
class _PrefetchStats:
    """What the consumers measured."""

    waits_s: list[float] = field(default_factory=list)
    """Of the short jobs, until they started."""
    stuck: int = 0
    """Short jobs that the consumer of the slow one had reserved."""


@job(
    kind="hazard",
    name="hazard.head_of_line",
    title="Slow job ahead of short ones",
    lesson=lessons.HEAD_OF_LINE,
)
def head_of_line(
    prefetch: Prefetch = 4,
    consumers: Annotated[int, Field(ge=2, le=8, description="Consumers with one slot each.")] = 2,
    short_jobs: Annotated[int, Field(ge=4, le=500, description="Short jobs behind the slow one.")] = 30,
    short_ms: Annotated[int, Field(ge=1, le=50, description="Average duration of a short job.")] = 5,
    slow_ms: Annotated[int, Field(ge=10, le=5000, description="Duration of the slow job.")] = 500,
    seed: Seed = 1,
) -> dict[str, Any]:
    """Run one slow and many short jobs with consumers that prefetch, as Celery's workers do; return the waits.

    Lesson: no other worker can take what one has reserved. With a prefetch of 4, three short jobs wait for the slow one
    while another consumer is idle; with 1 they go to a free consumer. The jobs wait on timers, so the GIL plays no
    part. Poolwise's workers prefetch 1 (WORKER_PREFETCH_MULTIPLIER).
    """
    random, broker = seeded(seed), queue.SimpleQueue[_Message]()
    broker.put(_Message(slow_ms / 1000, is_slow=True))
    for _ in range(short_jobs):
        broker.put(_Message(short_ms / 1000 * (0.5 + random.random()), is_slow=False))
    stats, fetching = _PrefetchStats(), threading.Lock()
    begin_mono = time.perf_counter()
    together([lambda: _consume(broker, prefetch, fetching, begin_mono, stats) for _ in range(consumers)])
    return {
        "prefetch": prefetch,
        "short_jobs": len(stats.waits_s),
        "stuck": stats.stuck,
        "short_wait_median_s": round(statistics.median(stats.waits_s), 6),
        "short_wait_max_s": round(max(stats.waits_s), 6),
        "slow_s": slow_ms / 1000,
        "duration_s": round(time.perf_counter() - begin_mono, 6),
    }


def _consume(
    broker: "queue.SimpleQueue[_Message]",
    prefetch: int,
    fetching: threading.Lock,
    begin_mono: float,
    stats: _PrefetchStats,
) -> None:
    backlog: deque[_Message] = deque()
    while True:
        with fetching:  # a broker delivers the messages of one consumer together
            _fill(backlog, broker, prefetch)
        if not backlog:
            return
        message = backlog.popleft()
        if message.is_slow:
            stats.stuck = len(backlog)
        else:
            stats.waits_s.append(time.perf_counter() - begin_mono)
        time.sleep(message.duration_s)


def _fill(backlog: "deque[_Message]", broker: "queue.SimpleQueue[_Message]", prefetch: int) -> None:
    while len(backlog) < prefetch:
        try:
            backlog.append(broker.get_nowait())
        except queue.Empty:
            return
