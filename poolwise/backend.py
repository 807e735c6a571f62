"""The django.tasks backend: `task.enqueue()` stores a job and publishes it to a pool."""

import builtins
import json
import re
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.core import checks
from django.db import transaction
from django.tasks import DEFAULT_TASK_QUEUE_NAME, base
from django.tasks.backends.base import BaseTaskBackend
from django.tasks.base import TaskError, TaskResultStatus
from django.tasks.exceptions import InvalidTask, TaskResultDoesNotExist
from django.tasks.signals import task_enqueued
from django_celery_results.models import TaskResult as StoredResult

from poolwise import definitions
from poolwise.definitions import Definition, JobTask
from poolwise.lifecycle import pool_choice, submission
from poolwise.models import Job, JobState
from poolwise.pools import all_pools
from poolwise.support import PoolwiseError, UnknownDefinition

if TYPE_CHECKING:
    AnyTask = base.Task[Any, Any]
    AnyResult = base.TaskResult[Any, Any]
else:
    AnyTask, AnyResult = base.Task, base.TaskResult  # generic in the type stubs only

_STATUS = {
    JobState.QUEUED: TaskResultStatus.READY,
    JobState.RUNNING: TaskResultStatus.RUNNING,
    JobState.SUCCEEDED: TaskResultStatus.SUCCESSFUL,
    JobState.FAILED: TaskResultStatus.FAILED,
    JobState.CANCELLED: TaskResultStatus.FAILED,
}


class PoolwiseBackend(BaseTaskBackend):
    """Runs Django's tasks on the pools; `using(queue_name=...)` picks the pool by its queue."""

    task_class = JobTask
    supports_defer = True
    supports_async_task = True
    supports_get_result = True
    supports_priority = False

    def validate_task(self, task: AnyTask) -> None:
        """Check a task at its declaration. Raise InvalidTask with the queues that exist."""
        super().validate_task(task)
        queues = {pool.queue for pool in all_pools().values()}
        if task.queue_name not in queues | {DEFAULT_TASK_QUEUE_NAME}:
            raise InvalidTask(
                f"Queue {task.queue_name!r} belongs to no pool; use one of {', '.join(sorted(queues))}."
            )

    def enqueue(self, task: AnyTask, args: Any, kwargs: Any) -> AnyResult:
        """Store and publish a job; return its result handle. Raise as `submission.submit` does."""
        self.validate_task(task)
        definition = definitions.from_task(task)
        params = definition.bind(args, kwargs)
        with transaction.atomic():
            job = submission.submit(
                definition.name, params, pool=pool_for(task, definition), run_after=task.run_after
            )[0]
        result = self._result(job, task)
        task_enqueued.send(type(self), task_result=result)
        return result

    def get_result(self, result_id: str) -> AnyResult:
        """Return the handle of a job. Raise TaskResultDoesNotExist."""
        try:
            job = Job.objects.get(pk=UUID(str(result_id)))
            task = definitions.resolve(job.definition).task
        except (Job.DoesNotExist, ValueError) as error:
            raise TaskResultDoesNotExist(f"There is no job {result_id!r}.") from error
        except UnknownDefinition as error:
            raise TaskResultDoesNotExist(f"The task of job {result_id} no longer exists: {error}") from error
        return self._result(job, task)

    def _result(self, job: Job, task: AnyTask) -> AnyResult:
        result: AnyResult = base.TaskResult(
            task=task,
            id=str(job.pk),
            status=_STATUS[JobState(job.state)],
            enqueued_at=job.created_at,
            started_at=job.started_at,
            finished_at=job.finished_at,
            last_attempted_at=job.started_at,
            args=[],
            kwargs=job.params,
            backend=self.alias,
            errors=[],
            worker_ids=[str(past.get("worker", "")) for past in job.history]
            + ([job.worker] if job.worker else []),
        )
        if job.has_ended:
            _add_ending(result, job)
        return result

    def check(self, **kwargs: Any) -> list[checks.CheckMessage]:
        """Return no messages: `poolwise.checks` has all of Poolwise's checks."""
        return []


def pool_for(task: AnyTask, definition: Definition) -> str:
    """Return the pool of the task's queue; for the default queue, the pool for the definition's kind."""
    if task.queue_name != DEFAULT_TASK_QUEUE_NAME:
        return next(pool.name for pool in all_pools().values() if pool.queue == task.queue_name)
    return pool_choice.by_kind(definition).pool


def _add_ending(result: AnyResult, job: Job) -> None:
    stored = StoredResult.objects.filter(task_id=str(job.pk)).first()
    if job.state == JobState.SUCCEEDED:
        object.__setattr__(result, "_return_value", _value(stored))
    else:
        text = (stored.traceback if stored else "") or job.error
        result.errors.append(
            TaskError(exception_class_path=_class_path(job.error_type, text), traceback=text)
        )


def _class_path(error_type: str, traceback: str) -> str:
    """Return the import path of an error's class; that of PoolwiseError if the platform ended the job."""
    if isinstance(getattr(builtins, error_type, None), type):
        return f"builtins.{error_type}"
    named = re.findall(rf"^([\w.]+\.{re.escape(error_type)})(?::|$)", traceback, re.MULTILINE)
    return named[-1] if named else f"{PoolwiseError.__module__}.{PoolwiseError.__qualname__}"


def _value(stored: StoredResult | None) -> Any:
    return None if stored is None or stored.result is None else json.loads(stored.result)
