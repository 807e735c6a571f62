"""Make `current_task` and `self.request` follow a job into its child tasks and threads."""

from contextvars import ContextVar
from typing import Any

import greenlet
from celery import _state

#: The key of Celery's stacks; if it is not set, the key is the greenlet, as in Celery.
IDENTITY: ContextVar[Any] = ContextVar("poolwise_identity", default=None)


def identity() -> Any:
    """Return the key of the current job."""
    return IDENTITY.get() or greenlet.getcurrent()


def use_job_identity(*tasks: Any) -> None:
    """Key Celery's stack of tasks, and the request stack of each of these tasks, by job."""
    stacks: Any = _state
    stacks._task_stack.__ident_func__ = identity
    for task in tasks:
        task.request_stack.__ident_func__ = identity
