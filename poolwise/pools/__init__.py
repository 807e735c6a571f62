"""The worker pools: what JOB_POOLS declares, and our pool classes for threads, gevent and asyncio.

Reading order: `spec` (declared pools), `request` (one job in a pool, a state machine), `interrupts` (what stops a body),
`base` (what our pools share), `threads`, `gevent`, `asyncio`, `loop` and `coroutines` (async bodies). Around a job: `task`
(base class of tasks), `api` (what a job may call), `body_probe` (where its time goes), `limits` (by pool), `prefork`.
Its database connections: `connections`, `database_places`.
Processes that jobs fork or start: `forked`, `gevent_forks`, `left_programs`. What ends a worker from within: `faults`.
A process imports only the pool class that it runs: a web process none of them.
"""

from poolwise.pools.spec import (
    AUTO,
    MAX_CONCURRENCY,
    MODELS,
    NEEDED_LIBRARY,
    NO_POOL,
    POOL_CLASSES,
    POOL_ENV,
    SYNC_THREADS,
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
    "SYNC_THREADS",
    "PoolSpec",
    "all_pools",
    "api",
    "base",
    "body_probe",
    "faults",
    "forked",
    "get_pool",
    "identity",
    "install",
    "left_programs",
    "limits",
    "prefork",
    "task",
]
