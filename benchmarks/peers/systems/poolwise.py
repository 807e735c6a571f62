"""Poolwise on each of its pools."""

from functools import partial

from benchmarks.peers.system import System

SLOTS = {
    "prefork": {"": 2},
    "threads": {"": 20, "wait": 100},
    "gevent": {"": 200, "wait": 500},
    "asyncio": {"": 200, "wait": 500},
}
_ENVIRONMENT = {
    "DJANGO_SETTINGS_MODULE": "benchmarks.peers.apps.poolwise_app.settings",
    "DEBUG": "false",
    "SECRET_KEY": "only-for-benchmarks-0123456789abcdef0123456789abcdef0123456789",
    "LOG_LEVEL": "WARNING",
    "WORKER_PREFETCH_MULTIPLIER": "8",  # the others fetch as many or more
    "JOB_MAX_QUEUED": "1000000",
    "JOB_KEEP_MAX": "20000000",
    "JOB_PUBLISH_BUDGET_S": "10",
    # The harness freezes workers while it fills their queue.
    "JOB_WORKER_DEAD_AFTER_S": "60",
}


def _command(pool: str, slots: int) -> list[str]:
    return ["python", "manage.py", "pool", pool, "--concurrency", str(slots)]


def _system(pool: str) -> System:
    return System(
        name=f"poolwise-{pool}",
        app="poolwise_app",
        venv="",
        command=partial(_command, pool),
        stored=("poolwise", "SELECT count(*) FROM poolwise_job WHERE state = 'succeeded'"),
        unpublished="SELECT count(*) FROM poolwise_job WHERE due_at IS NOT NULL AND state = 'queued'",
        lags="SELECT record_lag_s FROM poolwise_job WHERE state = 'succeeded' ORDER BY finished_at DESC LIMIT {jobs}",
        slots=SLOTS[pool],
        packages=("celery", "django", "redis"),
        environment={**_ENVIRONMENT, "BENCH_POOL": pool},
        prepare=[["python", "manage.py", "migrate", "--verbosity", "0"]],
        beside={"coordinator": ["python", "manage.py", "coordinator"]},
        settings=f"pool {pool}, WORKER_PREFETCH_MULTIPLIER 8",
        note="state, result, place and all timings of each job in the database; late acks, lost jobs run again",
    )


SYSTEMS = tuple(map(_system, SLOTS))
