"""One attempt in its slot: Celery's context and signals around `execution.run`."""

from functools import cache, partial
from typing import Any
from weakref import ReferenceType

from celery import _state, current_app, signals, states
from celery.app.task import Context
from django.core.cache import BaseCache, caches, close_caches
from django.utils.module_loading import import_string

from poolwise.lifecycle import execution, messages, stream
from poolwise.pools import identity, task

_tasks: Any = getattr(_state, "_task_stack")  # noqa: B009 - the stubs lack it
type Ended = tuple[stream.Outcome, BaseException | None]
#: Its receivers drop database connections, as `pools.connections` does.
_DJANGO_FIXUP = "celery.fixups.django"


class JobFailed(Exception):
    """The job failed, and its outcome is reported. Given to receivers of Celery's signals of a failure."""


def run(delivery: execution.Delivery) -> Ended:
    """Run a claimed attempt; return its outcome, and the exception by which the pool stopped it."""
    celery_task: Any = current_app.tasks[messages.TASK]
    about: dict[str, Any] = {
        "sender": celery_task, "task_id": delivery.job_id, "args": (delivery.definition, delivery.params), "kwargs": {}
    }  # fmt: skip
    state: str = states.FAILURE
    identity.enter(_tasks, celery_task)
    identity.enter(celery_task.request_stack, _context(delivery, about["args"]))
    try:
        _send(signals.task_prerun, task=celery_task, **about)
        outcome, stop = execution.run(delivery)
        if outcome.ending is stream.Ending.SUCCEEDED:
            state = states.SUCCESS
            _send(signals.task_success, sender=celery_task, result=None, runtime=outcome.timings.run_s)
        elif outcome.ending is stream.Ending.FAILED:
            error = JobFailed(f"{outcome.error_type}: {outcome.error}")
            _send(signals.task_failure, exception=error, traceback=None, einfo=None, **about)
        return outcome, stop
    finally:
        _send(signals.task_postrun, task=celery_task, retval=None, state=state, **about)
        identity.leave(celery_task.request_stack)
        identity.leave(_tasks)
        if _caches_end_with_job():
            close_caches()


def _context(delivery: execution.Delivery, arguments: tuple[Any, ...]) -> Context:
    headers = {messages.HEADER: {"attempt": delivery.attempt, "request_id": delivery.request_id}}
    context = Context.__new__(Context)  # its own `__init__` looks for headers among the fields
    context.__dict__ = {
        "id": delivery.job_id, "root_id": delivery.job_id, "task": messages.TASK, "shadow": delivery.definition,
        "args": arguments, "kwargs": {}, "hostname": delivery.worker, "called_directly": False,
        "ignore_result": True, "headers": headers,
    }  # fmt: skip
    return context


@cache
def _caches_end_with_job() -> bool:
    """Return whether a configured cache has anything to close; it does not change while a worker runs."""
    kinds = (import_string(options["BACKEND"]) for options in caches.settings.values())
    return any(kind.close is not BaseCache.close for kind in kinds)


def _send(signal: Any, **of: Any) -> None:
    """Send a signal of Celery if anybody but Celery itself listens."""
    for _, reference in signal.receivers:
        receiver = reference() if isinstance(reference, ReferenceType) else reference
        if getattr(receiver, "__module__", "") != _DJANGO_FIXUP:
            signal.send(**of)
            return


def run_in_child(delivery: execution.Delivery) -> stream.Outcome:
    """Run a claimed attempt in a child of prefork; return its outcome. Raise the exception that ends this process."""
    outcome, stop = task.run_alone(partial(run, delivery))
    if stop is not None:
        execution.report(outcome)  # nobody reads what a child returns that ends
        raise stop
    return outcome
