"""Workers of all pools that know the jobs that get stuck, under queues and names of their own."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.helpers.own_jobs import declare_own, own_platform
from tests.helpers.platform import Platform

MODELS = ("prefork", "threads", "gevent", "asyncio")
POOLS = {
    f"stuck_{model}": {
        "model": model,
        "queue": f"stuck-{model}",
        "concurrency": 3 if model == "prefork" else 5,
    }
    for model in MODELS
}
ENVIRONMENT = {
    "DJANGO_SETTINGS_MODULE": "tests.worker.stuck.settings",
    "JOB_POOLS": json.dumps(POOLS),
    "DRAIN_GRACE_S": "8",
    "JOB_WORKER_DEAD_AFTER_S": "10",  # the default: a watchdog needs a moment to renew the heartbeat of its worker
}


@pytest.fixture(scope="package")
def stuck_processes(platform_processes: Platform) -> Iterator[Platform]:
    """A coordinator, and workers once they are asked for, with the jobs that get stuck; they end with the last test here."""
    with own_platform(platform_processes, ENVIRONMENT) as platform:
        yield platform


@pytest.fixture
def stuck(
    transactional_db: None, stuck_processes: Platform, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Platform]:
    """The platform of the jobs that get stuck; this process can submit them."""
    declare_own(settings, monkeypatch, POOLS, "tests.worker.stuck.jobs")
    stuck_processes.ensure("coordinator", *POOLS)
    yield stuck_processes
    stuck_processes.drain()
