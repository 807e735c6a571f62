"""Dramatiq with Redis, and its results there if BENCH_BACKEND says so."""

import os

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

from benchmarks.peers.bodies import FUNCTIONS, PARAMS

_stored = os.environ["BENCH_BACKEND"] == "redis"
broker = RedisBroker(url=os.environ["BENCH_REDIS"])
if _stored:
    broker.add_middleware(Results(backend=RedisBackend(url=os.environ["BENCH_RESULTS"])))
dramatiq.set_broker(broker)
_options = {"store_results": True} if _stored else {}
ACTORS = {name: dramatiq.actor(function, actor_name=name, **_options) for name, function in FUNCTIONS.items()}


def enqueue(workload: str, jobs: int) -> None:
    """Submit jobs one by one."""
    actor, params = ACTORS[workload], PARAMS[workload]
    for _ in range(jobs):
        actor.send(**params)
