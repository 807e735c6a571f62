"""What a job prints on a real worker of each pool."""

from collections.abc import Callable

import pytest

from poolwise.lifecycle.submission import submit
from poolwise.models import JobState
from tests.helpers.platform import Platform
from tests.helpers.services import DIRECTORY
from tests.worker.stuck.conftest import POOLS

pytestmark = [pytest.mark.services, pytest.mark.django_db(transaction=True), pytest.mark.timeout(170)]


def test_no_pool_prints_a_secret(stuck: Platform, eventually: Callable) -> None:
    jobs = [submit("stuck.prints", {"token": f"canary-{pool}"}, pool=pool)[0] for pool in POOLS]
    stuck.wait_for(*jobs)
    assert {job.state for job in jobs} == {JobState.SUCCEEDED}
    for pool in POOLS:
        printed = (DIRECTORY / f"{pool}.log").read_text()
        assert "it is ••••••" in printed
        assert "printed to stderr: ••••••" in printed
        assert "canary" not in printed
