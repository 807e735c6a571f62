"""A platform of a test's own, with pools and jobs that the others do not know."""

import importlib
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
from django.conf import settings as site

from poolwise.definitions import registry
from tests.helpers.platform import Platform


@contextmanager
def own_platform(others: Platform, environment: Mapping[str, str]) -> Iterator[Platform]:
    """Stop the coordinator of the other tests, and end the processes of this platform with the block."""
    others.stop_if_running("coordinator")  # it would put off jobs of pools that it does not know
    with Platform(**environment) as platform:
        yield platform


def declare_own(settings: Any, monkeypatch: pytest.MonkeyPatch, pools: Mapping[str, Any], jobs: str) -> None:
    """Declare these pools and the jobs of this module for one test, which can then submit them."""
    settings.JOB_POOLS = {**site.JOB_POOLS, **pools}
    monkeypatch.setattr(registry, "_by_name", dict(registry._by_name))
    monkeypatch.setattr(registry, "_name_by_path", dict(registry._name_by_path))
    sys.modules.pop(jobs, None)  # to declare them again, in the registry of this test
    importlib.import_module(jobs)
