"""One job: its page, its result as a file, Run again and Cancel."""

import json
from secrets import token_urlsafe
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe
from django_celery_results.models import TaskResult

from poolwise import definitions
from poolwise.control import may_cancel, require_cancel, require_submit
from poolwise.lifecycle import cancellation, pauses, submission
from poolwise.models import Job, JobState
from poolwise.reports import CANCEL_LEVELS, Lead, on_cpu, pools_now, stalled_by, time_split, timeline
from poolwise.support import PoolwiseError, QueueFull, pretty
from poolwise.web.views.definition import announce, busy
from poolwise.web.views.live import PageRequest, live_page, signed_in

LIVE_EVERY_S = 1.0
#: A longer result is cut off; the download is complete.
RESULT_SHOWN_CHARS = 20_000
#: A shorter stall of the event loop is not shown.
SHOWN_STALL_S = 0.02
_SHOWN_PART_S = 0.00005
_PARTS = {
    "cpu": "on CPU",
    "run_queue": "waiting for a core",
    "gil_wait": "waiting for the GIL",
    "blocked": "blocked",
    "unattributed": "unattributed",
}


def _job(request: PageRequest, pk: UUID) -> Job:
    return get_object_or_404(
        Job.objects.visible_to(request.user).select_related("user", "parent", "batch"), pk=pk
    )


@require_safe
@signed_in
def job(request: PageRequest, pk: UUID) -> HttpResponse:
    """Show one job; htmx requests the live part until the job has ended."""
    job = _job(request, pk)
    context = {**_page_context(request, job), **_live_context(job), **_stall_context(request, job)}
    every_s = None if job.has_ended else LIVE_EVERY_S
    return live_page(request, "poolwise/job.html", "poolwise/_job.html", context, every_s=every_s)


def _page_context(request: PageRequest, job: Job) -> dict[str, Any]:
    visible, of_job = Job.objects.visible_to(request.user), Lead("parent_id", job.pk)
    reruns = of_job.all(visible).order_by(*of_job.order)
    return {
        "job": job,
        "definition": definitions.find(job.definition),
        "reruns": reruns.only("pk", "state", "definition", "pool")[:10],
        "may_cancel": may_cancel(request.user, job),
        "token": token_urlsafe(),
    }


def _live_context(job: Job) -> dict[str, Any]:
    outcome = TaskResult.objects.filter(task_id=str(job.pk)).only("result", "traceback").first()
    text = result_text(job, outcome)
    now = None if job.has_ended else pools_now()
    return {
        "pieces": timeline.pieces(timeline.timings_now(job, timezone.now())),
        "on_cpu": on_cpu(job),
        "cannot_be_stopped": _cannot_be_stopped(job),
        "is_late": job.due_at is not None and job.due_at < timezone.now(),
        "now": now,
        "pool": now and now.pools.get(job.pool),
        "pause_reason": ""
        if job.state != JobState.QUEUED
        else pauses.paused_now().reason(job.pool, job.definition),
        "attempts": [{**entry, "pieces": timeline.pieces(entry, without=["lag"])} for entry in job.history],
        "logs": list(job.logs.all()),
        "result": text and text[:RESULT_SHOWN_CHARS],
        "result_is_cut": bool(text) and len(text or "") > RESULT_SHOWN_CHARS,
        "traceback": outcome.traceback if outcome and job.state == JobState.FAILED else "",
    }


def _cannot_be_stopped(job: Job) -> bool:
    if job.has_ended or job.cancel_requested_at is None:
        return False
    return cancellation.can_be_stopped(job) is cancellation.CancelOutcome.UNSTOPPABLE


def _stall_context(request: PageRequest, job: Job) -> dict[str, Any]:
    """Return the parts of the run, and the job that stalled the event loop meanwhile, if known."""
    parts = time_split(job) if job.has_ended else {}
    is_stalled = (job.stall_s or 0.0) >= SHOWN_STALL_S
    blocker = stalled_by(job) if is_stalled else None
    return {
        "run_parts": [(_PARTS[name], seconds) for name, seconds in parts.items() if seconds >= _SHOWN_PART_S],
        "is_stalled": is_stalled,
        "has_stalled": (job.caused_stall_s or 0.0) >= SHOWN_STALL_S,
        "stalled_by": blocker,
        "may_see_stalled_by": blocker is not None
        and Job.objects.visible_to(request.user).filter(pk=blocker.pk).exists(),
    }


def result_text(job: Job, outcome: TaskResult | None) -> str | None:
    """Return what the job returned as indented JSON, or None if there is none."""
    if job.state != JobState.SUCCEEDED or outcome is None or outcome.result is None:
        return None
    try:
        return pretty(json.loads(outcome.result))
    except ValueError:
        return str(outcome.result)


@require_safe
@signed_in
def result(request: PageRequest, pk: UUID) -> HttpResponse:
    """Answer with what the job returned, as a JSON file."""
    job = _job(request, pk)
    text = result_text(job, TaskResult.objects.filter(task_id=str(job.pk)).first())
    if text is None:
        raise Http404("The job has no result.")
    headers = {"Content-Disposition": f'attachment; filename="{job.definition}-{job.pk}.json"'}
    return HttpResponse(text, content_type="application/json", headers=headers)


@require_POST
@signed_in
def run_again(request: PageRequest, pk: UUID) -> HttpResponse:
    """Submit the job again, with the same parameters to the same pool, and redirect to the new job."""
    job = _job(request, pk)
    require_submit(request.user)
    try:
        token = request.POST.get("token", "")[:64]
        again = submission.run_again(
            job,
            user=request.user,
            request_id=request.request_id,
            idempotency_key=token and f"again {token} {job.pk}",
        )
    except QueueFull as error:
        context = {"error": error, "back": job.get_absolute_url(), "title": f"Run {job.definition} again"}
        return busy(render(request, "poolwise/busy.html", context), error)
    except PoolwiseError as error:
        messages.error(request, str(error))
        return redirect(job)
    announce(request, [again])
    return redirect(again)


@require_POST
@signed_in
def cancel(request: PageRequest, pk: UUID) -> HttpResponse:
    """Cancel the job, or ask its worker to stop it."""
    job = _job(request, pk)
    require_cancel(request.user, job)
    try:
        reason = request.POST.get("reason", "")
        outcome = submission.cancel(job, user=request.user, reason=reason)
    except PoolwiseError as error:
        messages.error(request, str(error))
    else:
        messages.add_message(request, CANCEL_LEVELS[outcome], outcome.sentence("the job"))
    return redirect(job)
