"""Worker pools: what the settings declare, and the pool classes that Celery lacks or leaves incomplete.

Modules are imported where they are needed: a web process needs none of the classes, and a worker one of them.
"""

from poolwise.pools.spec import (
    AUTO,
    MAX_CONCURRENCY,
    MODELS,
    NEEDED_LIBRARY,
    NO_POOL,
    POOL_CLASSES,
    POOL_ENV,
    PoolSpec,
    all_pools,
    get_pool,
    install,
)

__all__ = [
    "AUTO",
    "MAX_CONCURRENCY",
    "MODELS",
    "NEEDED_LIBRARY",
    "NO_POOL",
    "POOL_CLASSES",
    "POOL_ENV",
    "PoolSpec",
    "all_pools",
    "api",
    "base",
    "body_probe",
    "get_pool",
    "install",
    "limits",
    "prefork",
    "task",
]
