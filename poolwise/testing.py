"""Helpers for a project's tests: collect jobs and assert them, or run them inline. Needs neither broker nor worker.

with testing.manual():                 with testing.inline():
    place_order(7)                         place_order(7)
    testing.assert_enqueued(send_mail)     assert mail.outbox  # the job has run
    testing.run_enqueued()
"""

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch
from uuid import uuid4

from poolwise.definitions import AttemptContext, Definition, from_task, get
from poolwise.lifecycle import execution, recorder, submission
from poolwise.models import Job

__all__ = [
    "all_enqueued",
    "assert_enqueued",
    "inline",
    "manual",
    "perform",
    "refute_enqueued",
    "run_enqueued",
]

#: A definition's name, or the task that `@job` returned.
type JobLike = Any


@contextmanager
def manual() -> Iterator[None]:
    """Store submitted jobs as queued and publish none of them, for `assert_enqueued` and `run_enqueued`."""
    with patch.object(submission, "deliver", lambda jobs, **_: None):
        yield


@contextmanager
def inline() -> Iterator[None]:
    """Run each job in this process as soon as it is submitted, and record how it ended.

    An exception of the body fails the job, not the code that submitted it; scheduled jobs stay queued.
    """
    with patch.object(submission, "deliver", _run_all):
        yield


def all_enqueued(job: JobLike | None = None, *, pool: str | None = None, **params: Any) -> list[Job]:
    """Return the queued jobs, oldest first: of this definition, on this pool, with at least these parameters."""
    jobs = Job.objects.queued().order_by("created_at", "pk")
    if job is not None:
        jobs = jobs.filter(definition=_definition(job).name)
    if pool is not None:
        jobs = jobs.filter(pool=pool)
    return [
        row for row in jobs if all(name in row.params and row.params[name] == params[name] for name in params)
    ]


def assert_enqueued(job: JobLike, *, pool: str | None = None, count: int | None = None, **params: Any) -> Job:
    """Check that a job of this definition is queued with at least these parameters; return the oldest.

    With `count`, exactly that many. Raise AssertionError, which lists the queued jobs.
    """
    jobs = all_enqueued(job, pool=pool, **params)
    if not jobs or (count is not None and len(jobs) != count):
        wanted = f"{count if count is not None else 'a'} job of {_definition(job).name} with {params}"
        raise AssertionError(
            f"{wanted} expected, {len(jobs)} queued. Queued jobs:\n{_listed(all_enqueued())}"
        )
    return jobs[0]


def refute_enqueued(job: JobLike, *, pool: str | None = None, **params: Any) -> None:
    """Check that no job of this definition is queued with these parameters. Raise AssertionError."""
    if jobs := all_enqueued(job, pool=pool, **params):
        raise AssertionError(f"No job of {_definition(job).name} expected. Queued jobs:\n{_listed(jobs)}")


def run_enqueued(job: JobLike | None = None, *, with_scheduled: bool = False, **params: Any) -> list[Job]:
    """Run the queued jobs in this process, with their retries and the jobs that they submit; return all that ran.

    Scheduled jobs and delayed retries run only `with_scheduled`.
    """
    ran: dict[Any, Job] = {}
    while waiting := [row for row in all_enqueued(job, **params) if with_scheduled or not row.is_scheduled]:
        _run_all(waiting)
        ran |= {row.pk: row for row in waiting}
    return list(ran.values())


def perform(job: JobLike, **params: Any) -> Any:
    """Validate the parameters, run the body in this process and return what it returns; store nothing.

    Raise InvalidParameters, and what the body raises.
    """
    definition = _definition(job)
    arguments = definition.call_arguments(definition.validate(params))
    context = (AttemptContext(str(uuid4()), 1, definition.name, ""),) if definition.takes_context else ()
    if definition.body is not None:
        return definition.body(*context, **arguments)
    assert definition.async_body is not None  # noqa: S101 - a definition has at least one body
    return asyncio.run(definition.async_body(*context, **arguments))


def _definition(job: JobLike) -> Definition:
    return get(job) if isinstance(job, str) else from_task(job)


def _run_all(jobs: Sequence[Job], **_: Any) -> None:
    for job in jobs:
        recorder.record(execution.run_here(_delivery(job)))
        job.refresh_from_db()


def _delivery(job: Job) -> execution.Delivery:
    params: Mapping[str, Any] = json.loads(json.dumps(job.params))
    return execution.Delivery(str(job.pk), job.attempt, job.definition, params, job.pool, worker="inline")


def _listed(jobs: Sequence[Job]) -> str:
    return "\n".join(f"  {job.definition} on {job.pool} with {job.params}" for job in jobs) or "  none"
