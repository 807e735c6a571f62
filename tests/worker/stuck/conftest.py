"""Workers of all pools that know the jobs that get stuck, under queues and names of their own."""

import importlib
import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings as site

from poolwise.definitions import registry
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
    platform_processes.stop_if_running("coordinator")  # it would put off jobs of pools that it does not know
    with Platform(**ENVIRONMENT) as platform:
        yield platform


@pytest.fixture
def stuck(
    transactional_db: None, stuck_processes: Platform, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Platform]:
    """The platform of the jobs that get stuck; this process can submit them."""
    settings.JOB_POOLS = {**site.JOB_POOLS, **POOLS}
    monkeypatch.setattr(registry, "_by_name", dict(registry._by_name))
    monkeypatch.setattr(registry, "_name_by_path", dict(registry._name_by_path))
    sys.modules.pop("tests.worker.stuck.jobs", None)  # to declare them again, in the registry of this test
    importlib.import_module("tests.worker.stuck.jobs")
    stuck_processes.ensure("coordinator", *POOLS)
    yield stuck_processes
    stuck_processes.drain()
