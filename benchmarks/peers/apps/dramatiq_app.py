"""Dramatiq with Redis, and its results there."""

import os

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend
from redis import Redis

from benchmarks.peers.bodies import FUNCTIONS, PARAMS

# The client allows a hundred connections by default, and each greenlet may have one.
_queues, _results = (
    Redis.from_url(os.environ[name], max_connections=1_000) for name in ("BENCH_REDIS", "BENCH_RESULTS")
)
broker = RedisBroker(client=_queues)
broker.add_middleware(Results(backend=RedisBackend(client=_results)))
dramatiq.set_broker(broker)
ACTORS = {
    name: dramatiq.actor(function, actor_name=name, store_results=True)
    for name, function in FUNCTIONS.items()
}


def enqueue(workload: str, jobs: int) -> None:
    """Submit jobs one by one."""
    actor, params = ACTORS[workload], PARAMS[workload]
    for _ in range(jobs):
        actor.send(**params)
