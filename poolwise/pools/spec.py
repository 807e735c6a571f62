"""The pools that JOB_POOLS declares, as validated data."""

import importlib.util
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.conf import settings

from poolwise.support import BadPool, UnknownPool

#: Our pool classes by concurrency model; prefork is Celery's own.
POOL_CLASSES = {
    "threads": "poolwise.pools.threads:TaskPool",
    "gevent": "poolwise.pools.gevent:TaskPool",
    "asyncio": "poolwise.pools.asyncio:TaskPool",
}
MODELS = ("prefork", "threads", "gevent", "asyncio")
NEEDED_LIBRARY = {"gevent": "gevent", "asyncio": "greenlet"}
MAX_CONCURRENCY = 10_000
#: Bodies without a coroutine that a worker of the model asyncio runs at once, each in a thread.
SYNC_THREADS = 32
#: Stands for the pool that `poolwise.lifecycle.pool_choice` chooses.
AUTO = "auto"
#: Reserved names and what they stand for.
RESERVED = {"coordinator": "the coordinator", AUTO: "the choice by measurement"}
NO_POOL = "JOB_POOLS declares no pool: declare one by name, as an object, or unset it."
#: The environment variable with the name of a worker's pool; `manage.py pool` sets it.
POOL_ENV = "POOLWISE_POOL"
_QUEUE = re.compile(r"[\w.:-]{1,100}")


@dataclass(frozen=True, slots=True)
class PoolSpec:
    """A named set of worker slots with one concurrency model and its own queue."""

    name: str
    model: str
    queue: str
    concurrency: int

    @classmethod
    def parse(cls, name: str, options: Mapping[str, Any]) -> "PoolSpec":
        """Return the pool that `JOB_POOLS[name]` declares. Raise BadPool with the remedy."""
        if not isinstance(options, Mapping):
            raise BadPool(
                f"JOB_POOLS[{name!r}] is {options!r}: write model, queue and concurrency as an object."
            )
        unknown = set(options) - {"model", "queue", "concurrency"}
        if unknown:
            raise BadPool(
                f"JOB_POOLS[{name!r}] has unknown keys {sorted(unknown)}: use model, queue, concurrency."
            )
        if not isinstance(name, str) or not name.isidentifier():
            raise BadPool(f"The pool name {name!r} must be letters, digits and underscores only.")
        if owner := RESERVED.get(name):
            raise BadPool(f"The pool name {name!r} belongs to {owner}: choose another.")
        model = options.get("model", name)
        if model not in MODELS:
            raise BadPool(
                f"JOB_POOLS[{name!r}]: the model {model!r} is unknown; use one of {', '.join(MODELS)}."
            )
        concurrency = options.get("concurrency")
        if isinstance(concurrency, bool) or not isinstance(concurrency, int):
            concurrency = 0
        if not 1 <= concurrency <= MAX_CONCURRENCY:
            also = f" or {name.upper()}_CONCURRENCY" if name in MODELS else ""
            raise BadPool(
                f"JOB_POOLS[{name!r}]{also}: concurrency must be a whole number from 1 to {MAX_CONCURRENCY}."
            )
        queue = options.get("queue", name)
        # Celery takes a worker's queues as a list separated by commas, so a name must not contain one.
        if not isinstance(queue, str) or not _QUEUE.fullmatch(queue):
            raise BadPool(
                f"JOB_POOLS[{name!r}]: queue must be a name of 1 to 100 letters, digits, `_`, `.`, `:` or `-`."
            )
        return cls(name, model, queue, concurrency)

    @property
    def missing_library(self) -> str | None:
        """Return the name of the package that the model needs, if it is not installed."""
        library = NEEDED_LIBRARY.get(self.model)
        return library if library and importlib.util.find_spec(library) is None else None


def all_pools() -> dict[str, PoolSpec]:
    """Return the pools of the settings by name. Raise BadPool with the remedy."""
    if not isinstance(settings.JOB_POOLS, dict):
        raise BadPool(NO_POOL)
    pools = {name: PoolSpec.parse(name, options) for name, options in settings.JOB_POOLS.items()}
    owners: dict[str, str] = {}
    for pool in pools.values():
        if pool.queue in owners:
            raise BadPool(
                f"{owners[pool.queue]!r} and {pool.name!r} share the queue {pool.queue!r}: give each pool its own."
            )
        owners[pool.queue] = pool.name
    return pools


def get_pool(name: str) -> PoolSpec:
    """Return the pool of that name. Raise UnknownPool with the names that exist."""
    pools = all_pools()
    if name not in pools:
        raise UnknownPool(f"There is no pool {name!r}; JOB_POOLS has {', '.join(pools) or 'none'}.")
    return pools[name]


def install() -> None:
    """Register our pool classes under Celery's `-P` names, and our transport for kombu's Redis URLs."""
    from celery import concurrency

    from poolwise.transport import redis_transport

    concurrency.ALIASES.update(POOL_CLASSES)  # type: ignore[attr-defined]
    redis_transport.install()
