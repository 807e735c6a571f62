"""Let `current_task` and `self.request` follow a job into its child tasks and threads."""

from contextvars import ContextVar
from typing import Any

import greenlet
from celery import _state

#: What Celery's stacks are keyed by; where this is not set, by the greenlet, as Celery has it.
IDENTITY: ContextVar[Any] = ContextVar("poolwise_identity", default=None)


def identity() -> Any:
    """Return the key of the job that the current code works for."""
    return IDENTITY.get() or greenlet.getcurrent()


def use_job_identity(*tasks: Any) -> None:
    """Key Celery's stack of tasks, and the stack of requests of each of these tasks, by the job."""
    stacks: Any = _state
    stacks._task_stack.__ident_func__ = identity
    for task in tasks:
        task.request_stack.__ident_func__ = identity
