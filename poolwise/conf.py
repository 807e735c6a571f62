"""The defaults of the library's settings; a project overrides each by its name in its own settings. docs/settings.md."""

from importlib.util import find_spec
from typing import Any

from django.conf import settings

from poolwise.support import whole_cores

#: An extra; without it the pool is not declared.
HAS_GEVENT = find_spec("gevent") is not None
DEFAULTS: dict[str, Any] = {
    "API_MAX_BODY_BYTES": 1_048_576,
    "AUDIT_KEEP_DAYS": 365.0,
    "CELERY_WORKER_PREFETCH_MULTIPLIER": 1,
    "DRAIN_GRACE_S": 60.0,
    "JOB_CELERY_APP": "",
    "JOB_DATABASE_CONNECTIONS": 20,
    "JOB_DEFAULT_POOLS": {
        "io": "gevent" if HAS_GEVENT else "threads",
        "cpu": "prefork",
        "mixed": "threads",
        "hazard": "threads",
    },
    "JOB_HEARTBEAT_FILE": "",
    "JOB_HEARTBEAT_S": 2.0,
    "JOB_KEEP_DAYS": 30.0,
    "JOB_KEEP_MAX": 1_000_000,
    "JOB_KEY_PREFIX": "poolwise:",
    "JOB_LOG_MAX_LINES": 200,
    "JOB_MAX_COPIES": 1000,
    "JOB_MAX_QUEUED": 10_000,
    "JOB_MAX_QUEUED_PER_USER": 2_000,
    "JOB_PAUSE_AFTER_HANGS": 5,
    "JOB_POOLS": {
        "prefork": {"model": "prefork", "queue": "prefork", "concurrency": whole_cores()},
        "threads": {"model": "threads", "queue": "threads", "concurrency": 32},
        **({"gevent": {"model": "gevent", "queue": "gevent", "concurrency": 200}} if HAS_GEVENT else {}),
        "asyncio": {"model": "asyncio", "queue": "asyncio", "concurrency": 200},
    },
    "JOB_PUBLISH_BUDGET_S": 0.5,
    "JOB_RESULT_MAX_BYTES": 1_048_576,
    "JOB_SAMPLE_EVERY_S": 5.0,
    "JOB_SAMPLE_KEEP_DAYS": 8,
    "JOB_TIME_LIMIT_S": 3600.0,
    "JOB_WORKER_DEAD_AFTER_S": 8.0,
    "LOGIN_COOL_OFF_MIN": 10.0,
    "LOGIN_FAILURE_LIMIT": 5,
    "PROXY_COUNT": 0,
    "REDIS_URL": "redis://127.0.0.1:6379/0",
    "SHUTDOWN_GRACE_S": 20.0,
    "WORKER_PREFETCH_MULTIPLIER": 1,
}


def set_defaults() -> None:
    """Give each setting that the project does not have its default; the broker is Redis unless it says otherwise."""
    for name, default in DEFAULTS.items():
        if not hasattr(settings, name):
            setattr(settings, name, default)
    if not hasattr(settings, "BROKER_URL"):
        settings.BROKER_URL = settings.REDIS_URL
