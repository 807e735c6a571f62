"""The Celery task `poolwise.run`, which runs every job. All its logic is in `poolwise.lifecycle.execution`."""

import json
import os
from typing import Any

from celery import shared_task

import poolwise.worker.signals  # noqa: F401 - connects the signal handlers
from poolwise.lifecycle import execution, messages, stream
from poolwise.pools import POOL_ENV, task


class JobFailed(Exception):
    """The job failed, and its outcome is reported. Raised so that Celery's events show a failure too."""


class RunTask(task.PoolTask):
    """The base of `poolwise.run`."""

    abstract = True
    #: `execution` makes only the body interruptible, so that no limit hits a claim or a report.
    runs_own_body = True
    Request = "poolwise.worker.request:JobRequest"

    def plain_backend(self) -> Any:
        """Return the app's result backend, which stores nothing for this task."""
        if self._backend is None:
            # One for all threads: the app makes one for each thread, and so for each greenlet.
            self._backend = self.app.backend
        return self._backend


@shared_task(
    name=messages.TASK, base=RunTask, bind=True, ignore_result=True, throws=(JobFailed,), acks_late=True
)
def run(self: Any, definition: str, params: str) -> None:
    """Run one attempt of a job. The task's id is the job's id; `params` is JSON text."""
    request = self.request
    headers = request.get(messages.HEADER) or {}
    received_at, received_mono = request.get("received") or (None, None)
    outcome = execution.execute(
        execution.Delivery(
            job_id=request.id,
            attempt=headers.get("attempt", 1),
            definition=definition,
            params=json.loads(params),
            pool=os.environ.get(POOL_ENV, ""),
            worker=request.hostname or "",
            published_at=headers.get("published_at"),
            received_at=received_at,
            received_mono=received_mono,
            request_id=headers.get("request_id", ""),
        )
    )
    if outcome is not None and outcome.ending is stream.Ending.FAILED:
        raise JobFailed(f"{outcome.error_type}: {outcome.error}")
