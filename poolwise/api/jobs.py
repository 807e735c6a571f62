"""Jobs: submit, list, get, cancel, run again."""

import json
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django_celery_results.models import TaskResult
from ninja import Query, Status

from poolwise import reports
from poolwise.api.app import BUSY, PROBLEMS, api
from poolwise.api.idempotency import Key, stored_key
from poolwise.api.request_bodies import WITHOUT, AgainIn, CancelIn, SubmitIn, SubmitManyIn
from poolwise.api.schemas import (
    CancelledOut,
    JobDetailOut,
    JobOut,
    JobPageOut,
    ResultOut,
    SubmittedOut,
    without_secrets,
)
from poolwise.control import roles
from poolwise.lifecycle import submission
from poolwise.models import Job, JobState
from poolwise.reports import JobFilter
from poolwise.support import InvalidParameters, UnknownDefinition, UnknownPool
from poolwise.web import views


@api.post("/jobs", response={201: SubmittedOut, 200: SubmittedOut, **PROBLEMS, **BUSY}, tags=["jobs"])
def submit(request: HttpRequest, payload: SubmitIn, idempotency_key: Key = "") -> Any:
    """Submit a job or copies of it; 200 if it was submitted before.

    409: the job cannot run here, or is unique and another user's is under way. 429 and 503: see Retry-After.
    """
    roles.require_submit(request.user)
    try:
        jobs = submission.submit(
            payload.definition,
            payload.params,
            pool=payload.pool,
            copies=payload.copies,
            user=request.user,  # type: ignore[arg-type]
            request_id=getattr(request, "request_id", ""),
            idempotency_key=stored_key(request, idempotency_key),
        )
    except InvalidParameters as error:
        raise _below_params(error) from error
    except UnknownDefinition as error:
        raise InvalidParameters({"definition": str(error)}) from error
    except UnknownPool as error:
        raise InvalidParameters({"pool": str(error)}) from error
    return _submitted(request, jobs)


@api.post("/jobs/many", response={201: SubmittedOut, 200: SubmittedOut, **PROBLEMS, **BUSY}, tags=["jobs"])
def submit_many(request: HttpRequest, payload: SubmitManyIn, idempotency_key: Key = "") -> Any:
    """Submit jobs with different parameters, all or none; 200 if they were submitted before.

    422 names each faulty job by its place, such as `jobs.3.params.duration_s` of the fourth. 409: one of them cannot run
    here, or is unique and one like it is under way. 429 and 503: see Retry-After.
    """
    roles.require_submit(request.user)
    try:
        jobs = submission.submit_many(
            [
                submission.NewJob(definition=job.definition, params=job.params, pool=job.pool)
                for job in payload.jobs
            ],
            user=request.user,  # type: ignore[arg-type]
            request_id=getattr(request, "request_id", ""),
            idempotency_key=stored_key(request, idempotency_key),
        )
    except InvalidParameters as error:
        named = {"idempotency_key": views.IDEMPOTENCY_KEY}
        raise InvalidParameters(
            {named.get(name, name): text for name, text in error.errors.items()}
        ) from error
    return _submitted(request, jobs)


def _submitted(request: HttpRequest, jobs: Sequence[Job]) -> HttpResponse:
    status = 200 if all(job.was_there for job in jobs) else 201
    return api.create_response(request, {"jobs": [_as_out(job) for job in jobs]}, status=status)


def _as_out(job: Job) -> dict[str, Any]:
    """Return what the schema JobOut makes of a job, without its validation: that of 1,000 jobs takes 0.1 s."""
    made: dict[str, Callable[[Job], Any]] = {
        "user": JobOut.resolve_user,
        "due_at": JobOut.resolve_due_at,
        "params": lambda job: without_secrets(job.params),
    }
    return {name: made[name](job) if name in made else getattr(job, name) for name in JobOut.model_fields}


@api.get("/jobs", response={200: JobPageOut, **PROBLEMS}, tags=["jobs"])
def list_jobs(request: HttpRequest, filters: Query[JobFilter], before: str = "", after: str = "") -> Any:
    """List jobs, newest first, by the filters of the page; `before` and `after` take the cursors of a response."""
    filters.refuse_unknown()
    listed = reports.list_jobs(request.user, filters)  # type: ignore[arg-type]
    page = listed.page({"before": before, "after": after}, strict=True)
    return {"jobs": page.rows, "older": page.older, "newer": page.newer, "is_cut": bool(listed.cut_to)}


@api.get("/jobs/{uuid:job_id}", response={200: JobDetailOut, **PROBLEMS}, tags=["jobs"])
def get_job(request: HttpRequest, job_id: UUID) -> Any:
    """Return one job."""
    return _job(request, job_id)


@api.get("/jobs/{uuid:job_id}/result", response={200: ResultOut, **PROBLEMS}, tags=["jobs"])
def get_result(request: HttpRequest, job_id: UUID) -> Any:
    """Return what a job returned; 404 until it has succeeded."""
    job = _job(request, job_id)
    outcome = TaskResult.objects.filter(task_id=str(job.pk)).only("result").first()
    if job.state != JobState.SUCCEEDED or outcome is None or outcome.result is None:
        raise Http404("The job has no result.")
    return {"result": json.loads(outcome.result)}


@api.post("/jobs/{uuid:job_id}/cancel", response={200: CancelledOut, **PROBLEMS}, tags=["jobs"])
def cancel(request: HttpRequest, job_id: UUID, payload: CancelIn = WITHOUT) -> Any:
    """Cancel a queued job, or ask the worker of a running one to stop it."""
    job = _job(request, job_id)
    roles.require_cancel(request.user, job)
    outcome = submission.cancel(job, user=request.user, reason=payload.reason)  # type: ignore[arg-type]
    return {"outcome": outcome.value, "job": job}


@api.post(
    "/jobs/{uuid:job_id}/again",
    response={201: JobDetailOut, 200: JobDetailOut, **PROBLEMS, **BUSY},
    tags=["jobs"],
)
def run_again(
    request: HttpRequest, job_id: UUID, payload: AgainIn = WITHOUT, idempotency_key: Key = ""
) -> Any:
    """Submit a job again, optionally with changes; 200 and 409 as for a submission."""
    roles.require_submit(request.user)
    job, request_id = _job(request, job_id), getattr(request, "request_id", "")
    try:
        again = submission.run_again(
            job,
            user=request.user,  # type: ignore[arg-type]
            params=payload.params,
            pool=payload.pool,
            request_id=request_id,
            idempotency_key=stored_key(request, idempotency_key),
        )
    except InvalidParameters as error:
        raise _below_params(error) from error
    except UnknownPool as error:
        raise InvalidParameters({"pool": str(error)}) from error
    return Status(200 if again.was_there else 201, again)


def _job(request: HttpRequest, job_id: UUID) -> Job:
    visible = Job.objects.visible_to(request.user).select_related("user")
    return get_object_or_404(visible, pk=job_id)


def _below_params(error: InvalidParameters) -> InvalidParameters:
    """Return the error with the caller's names: a parameter under `params`, the key by its header."""
    names = {"copies": "copies", "params": "params", "pool": "pool", "idempotency_key": views.IDEMPOTENCY_KEY}
    return InvalidParameters({names.get(name, f"params.{name}"): text for name, text in error.errors.items()})
