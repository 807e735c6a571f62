"""A Celery app without Poolwise that runs the bodies of the benchmark: `celery -A benchmarks.bare_worker worker`."""

import os
from collections.abc import Callable, Mapping
from typing import Any

import redis
from celery import Celery

from benchmarks.answers import bodies


def _http(wait_ms: int) -> int:
    return bodies.fetch(f"{os.environ['JOB_HTTP_DEMO_URL']}/wait?ms={wait_ms}")


#: By the names of the cases in `answers`, and with their parameters.
BODIES: Mapping[str, tuple[Callable[..., object], Mapping[str, float]]] = {
    "wait-0.1": (bodies.wait, {"duration_s": 0.1}),
    "http-0.1": (_http, {"wait_ms": 100}),
    "json": (bodies.json_round_trip, {"items": 10_000}),
    "python": (bodies.python, {"steps": 250_000}),
    "sha256": (bodies.sha256, {"size_mib": 128}),
    "half": (bodies.half, {"duration_s": 0.05, "size_mib": 64}),
}
app = Celery("bare", broker=os.environ.get("REDIS_URL"), set_as_current=False)
# As Poolwise sets it.
app.conf.update(task_ignore_result=True, task_acks_late=True, worker_prefetch_multiplier=1)
_redis: Any = redis.Redis.from_url(os.environ.get("REDIS_URL", "redis://127.0.0.1"))


@app.task(name="bare.run")
def run(body: str, batch: str, copies: int) -> None:
    """Run a body; the last copy of a batch adds to the list on which the benchmark waits."""
    function, params = BODIES[body]
    function(**params)
    if _redis.incr(batch) == copies:
        _redis.lpush(f"{batch}:ended", 1)
