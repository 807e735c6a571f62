"""What a body gets to know about the attempt that runs it."""

from dataclasses import dataclass
from typing import Any

from django.tasks import TaskResult, TaskResultStatus
from django.utils import timezone

from poolwise.definitions.registry import resolve


@dataclass(frozen=True, slots=True)
class AttemptContext:
    """The first argument of a body with `takes_context`."""

    job_id: str
    attempt: int
    """Counts from 1."""
    definition: str
    pool: str

    @property
    def task_result(self) -> "TaskResult[Any, Any]":
        """Return the attempt as django.tasks has it, for plain `@task(takes_context=True)` functions."""
        now = timezone.now()
        return TaskResult(
            task=resolve(self.definition).task,
            id=self.job_id,
            status=TaskResultStatus.RUNNING,
            enqueued_at=None,
            started_at=now,
            finished_at=None,
            last_attempted_at=now,
            args=[],
            kwargs={},
            backend="default",
            errors=[],
            worker_ids=[self.pool] * self.attempt,
        )
