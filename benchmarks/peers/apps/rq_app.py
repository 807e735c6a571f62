"""RQ with Redis."""

import os
from functools import partial

from redis import Redis
from rq import Queue

from benchmarks.peers import bodies

_queue = Queue(connection=Redis.from_url(os.environ["BENCH_REDIS"]))
_AT_ONCE = 500


def enqueue(workload: str, jobs: int) -> None:
    """Submit jobs, 500 in a call."""
    one = partial(Queue.prepare_data, bodies.FUNCTIONS[workload], kwargs=dict(bodies.PARAMS[workload]))
    for first in range(0, jobs, _AT_ONCE):
        _queue.enqueue_many([one() for _ in range(min(_AT_ONCE, jobs - first))])
