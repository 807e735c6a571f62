"""Jobs that fork, on real workers beside other jobs."""

import pytest
from django_celery_results.models import TaskResult

from poolwise.lifecycle.submission import submit
from poolwise.models import JobState
from tests.helpers.platform import Platform
from tests.worker.stuck.conftest import POOLS

pytestmark = [pytest.mark.services, pytest.mark.django_db(transaction=True), pytest.mark.timeout(170)]
PREFORK, *SHARED = POOLS


def test_a_forked_process_neither_runs_nor_reports_jobs(stuck: Platform) -> None:
    forking = [submit("stuck.forks", {}, pool=pool)[0] for pool in POOLS]
    others = [submit("io.wait", {"duration_s": 0.2}, pool=pool)[0] for pool in POOLS for _ in range(12)]
    stuck.wait_for(*forking, *others)
    assert {(job.state, job.attempt) for job in (*forking, *others)} == {(JobState.SUCCEEDED, 1)}
    results = TaskResult.objects.filter(task_id__in=[str(job.pk) for job in forking])
    assert [result.result for result in results] == ['"worker"'] * len(POOLS)
    for pool in SHARED:
        assert len({job.pid for job in (*forking, *others) if job.pool == pool}) == 1
