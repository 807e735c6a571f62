"""What the processes of a platform have loaded while they are idle: what they do not need costs each start and memory."""

import re
from pathlib import Path

import pytest

from poolwise.lifecycle.submission import get_result, submit
from tests.helpers.platform import Platform
from tests.worker.stuck.conftest import POOLS

pytestmark = [pytest.mark.services, pytest.mark.django_db(transaction=True), pytest.mark.timeout(170)]


def test_no_worker_loads_what_pages_commands_and_comparisons_need(stuck: Platform) -> None:
    jobs = [submit("stuck.loaded", {}, pool=pool)[0] for pool in POOLS]
    stuck.wait_for(*jobs)
    assert [(job.pool, get_result(job)) for job in jobs] == [(pool, []) for pool in POOLS]


def test_a_coordinator_loads_none_of_the_large_libraries(stuck: Platform) -> None:
    assert "_pydantic_core" in _libraries(stuck, "coordinator")
    assert not _libraries(stuck, "coordinator") & {"numpy", "scipy", "vl_convert", "PIL"}


def _libraries(platform: Platform, name: str) -> set[str]:
    """Return words in the paths of what a process has mapped."""
    pid = platform.processes[name].pid
    return set(re.findall(r"\w+", Path(f"/proc/{pid}/maps").read_text()))
