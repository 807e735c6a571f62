"""The Celery task `poolwise.run`, by whose name every job is published.

A worker runs none of its code: `message_filter` takes the message, `request` claims the job, `attempt` runs it.
"""

from typing import Any

from celery import shared_task

import poolwise.worker.signals  # noqa: F401 - connects the signal handlers
from poolwise.lifecycle import messages
from poolwise.pools import task


class RunTask(task.PoolTask):
    """The base of `poolwise.run`."""

    abstract = True

    def plain_backend(self) -> Any:
        """Return the app's result backend, which stores nothing for this task."""
        if self._backend is None:
            # One for all threads: the app makes one for each thread, and so for each greenlet.
            self._backend = self.app.backend
        return self._backend


@shared_task(name=messages.TASK, base=RunTask, ignore_result=True, acks_late=True)
def run(definition: str, params: str) -> None:
    """Raise RuntimeError: only a worker of Poolwise runs a job, whose id is that of the message."""
    raise RuntimeError(
        f"Submit {definition} by poolwise.submit; {messages.TASK} is run by a worker of Poolwise alone."
    )
