"""A producer that is faster than its consumer."""

import queue
import statistics
import time
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import Field

from jobs.data import Seed, seeded
from jobs.hazards import lessons
from jobs.hazards.together import together
from poolwise import job

_END = b""
_PUT_TIMEOUT_S = 60.0

Bound = Annotated[
    Literal["none", "wait", "refuse"],
    Field(description="No limit; the producer waits while the queue is full; a full queue refuses items."),
]


@dataclass(slots=True)
class _BacklogStats:
    """What the producer and the consumer measured."""

    waits_s: list[float] = field(default_factory=list)
    most_items: int = 0
    most_bytes: int = 0
    refused: int = 0
    producer_waited_s: float = 0.0


@job(kind="hazard", name="hazard.backlog", title="Producer faster than consumer", lesson=lessons.BACKLOG)
def backlog(
    bound: Bound = "none",
    items: Annotated[int, Field(ge=1, le=2000, description="Items to produce.")] = 300,
    produce_ms: Annotated[float, Field(ge=0, le=20, description="Average time to produce an item.")] = 1.0,
    consume_ms: Annotated[float, Field(ge=0, le=20, description="Average time to consume an item.")] = 4.0,
    item_kib: Annotated[int, Field(ge=1, le=64, description="Size of an item.")] = 64,
    room: Annotated[
        int, Field(ge=1, le=2000, description="The limit: items that may wait in the queue.")
    ] = 10,
    seed: Seed = 1,
) -> dict[str, Any]:
    """Fill a queue faster than it is emptied, without and with a limit; return its memory and the waits.

    Lesson: without a limit memory and waits grow for as long as the producer is faster, and nobody notices. With a
    limit the excess shows at once: the producer waits, or is refused and may try again later. The GIL plays no part.
    Poolwise limits its queues by JOB_MAX_QUEUED.
    """
    random, stats = seeded(seed), _BacklogStats()
    waiting: queue.Queue[tuple[float, bytes]] = queue.Queue(maxsize=0 if bound == "none" else room)
    paces = [(2e-3 * produce_ms * random.random(), 2e-3 * consume_ms * random.random()) for _ in range(items)]
    begin_mono = time.perf_counter()
    together(
        [
            lambda: _produce(waiting, bound, [pace[0] for pace in paces], item_kib * 1024, stats),
            lambda: _consume(waiting, [pace[1] for pace in paces], stats),
        ]
    )
    return {
        "bound": bound,
        "items": items,
        "consumed": len(stats.waits_s),
        "refused": stats.refused,
        "most_items": stats.most_items,
        "most_bytes": stats.most_bytes,
        "wait_median_s": round(statistics.median(stats.waits_s), 6),
        "wait_max_s": round(max(stats.waits_s), 6),
        "producer_waited_s": round(stats.producer_waited_s, 6),
        "duration_s": round(time.perf_counter() - begin_mono, 6),
    }


def _produce(
    waiting: "queue.Queue[tuple[float, bytes]]",
    bound: str,
    paces: list[float],
    size_bytes: int,
    stats: _BacklogStats,
) -> None:
    random = seeded(size_bytes)  # zeros would take no memory
    for pause_s in paces:
        time.sleep(pause_s)
        item = random.randbytes(size_bytes)
        made_mono = time.perf_counter()
        try:
            waiting.put((made_mono, item), block=bound == "wait", timeout=_PUT_TIMEOUT_S)
        except queue.Full:
            if bound == "wait":
                raise
            stats.refused += 1
        stats.producer_waited_s += time.perf_counter() - made_mono
        stats.most_items = max(stats.most_items, waiting.qsize())
        stats.most_bytes = stats.most_items * size_bytes
    waiting.put((0.0, _END))


def _consume(waiting: "queue.Queue[tuple[float, bytes]]", paces: list[float], stats: _BacklogStats) -> None:
    for pause_s in [*paces, 0.0]:
        made_mono, item = waiting.get(timeout=_PUT_TIMEOUT_S)
        if item == _END:
            return
        stats.waits_s.append(time.perf_counter() - made_mono)
        time.sleep(pause_s)
