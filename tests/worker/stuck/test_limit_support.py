"""Memory limits where a job has a process of its own, and what is declared of limits against what workers do."""

import json
from itertools import product

import pytest
from django_celery_results.models import TaskResult

from poolwise.lifecycle.submission import submit
from poolwise.models import JobState
from poolwise.pools.limits import ACTIVITIES, INTERRUPTS, STYLES, support
from tests.helpers.pace import limit_s
from tests.helpers.platform import Platform
from tests.worker.stuck.conftest import MODELS
from tests.worker.stuck.limit_probes import key

pytestmark = [pytest.mark.services, pytest.mark.django_db(transaction=True)]


def test_a_job_that_takes_too_much_memory_is_ended_in_prefork_and_a_modest_one_is_not(
    stuck: Platform,
) -> None:
    [greedy] = submit("stuck.hoards", {}, pool="stuck_prefork")
    [modest] = submit("stuck.hoards", {"mebibytes": 30}, pool="stuck_prefork")
    stuck.wait_for(greedy, modest, timeout_s=40)
    assert (greedy.state, greedy.error_type) == (JobState.FAILED, "MemoryLimitExceeded")
    assert "its limit is 64 MiB" in greedy.error
    assert greedy.run_s < limit_s(10)
    assert (modest.state, modest.attempt) == (JobState.SUCCEEDED, 1)


@pytest.mark.parametrize("model", MODELS)
def test_the_declared_limits_of_a_model_are_what_its_worker_does(stuck: Platform, model: str) -> None:
    [probe] = submit("stuck.probe_limits", {}, pool=f"stuck_{model}")
    stuck.wait_for(probe, timeout_s=60)
    probed = json.loads(TaskResult.objects.get(task_id=str(probe.pk)).result)
    assert probed == {
        key(interrupt, style, doing): support(model, interrupt, style, doing)
        for interrupt, style, doing in product(INTERRUPTS, STYLES, ACTIVITIES)
    }
