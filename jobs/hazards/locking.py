"""A lock that is held for longer than the update that it guards."""

import threading
import time
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import Field

from jobs.data import Seed, seeded
from jobs.hazards import lessons
from jobs.hazards.together import together
from poolwise import job

Held = Annotated[
    Literal["all", "update"], Field(description="Hold the lock during the wait too, or for the update alone.")
]


@job(kind="hazard", name="hazard.lock_held", title="Lock held too long", lesson=lessons.LOCK_HELD)
def lock_held(
    held: Held = "all",
    workers: Annotated[int, Field(ge=1, le=64, description="Threads that run at once.")] = 8,
    fetch_ms: Annotated[int, Field(ge=1, le=500, description="Wait of each thread, such as a request.")] = 50,
    update_ms: Annotated[int, Field(ge=0, le=50, description="Time of each update of the shared value.")] = 1,
    seed: Seed = 1,
) -> dict[str, Any]:
    """Fetch something in several threads and then update a shared value, under one lock.

    Lesson: a lock held during a wait makes the threads run one after another; waiting releases the GIL, but not the
    lock. Fetch first, then take the lock for the update alone.
    """
    lock, total, lock_waits_s = threading.Lock(), [0], list[float]()
    random = seeded(seed)
    waits_s = [fetch_ms / 1000 * (0.8 + 0.4 * random.random()) for _ in range(workers)]

    def update() -> None:
        seen = total[0]
        time.sleep(update_ms / 1000)
        total[0] = seen + 1

    def work(wait_s: float) -> None:
        if held == "update":
            time.sleep(wait_s)
        asked_mono = time.perf_counter()
        with lock:
            lock_waits_s.append(time.perf_counter() - asked_mono)
            if held == "all":
                time.sleep(wait_s)
            update()

    begin_mono = time.perf_counter()
    together([partial(work, wait_s) for wait_s in waits_s])
    return {
        "held": held,
        "workers": workers,
        "updated": total[0],
        "duration_s": round(time.perf_counter() - begin_mono, 6),
        "alone_s": round(max(waits_s) + update_ms / 1000, 6),
        "lock_wait_max_s": round(max(lock_waits_s), 6),
        "lock_wait_total_s": round(sum(lock_waits_s), 6),
    }
