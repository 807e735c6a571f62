"""One job: its page, its result as a file, Run again and Cancel."""

import json
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
from poolwise.reports import CANCEL_LEVELS, pools_now, stalled_by, time_split, timeline
from poolwise.support import PoolwiseError, QueueFull, pretty
from poolwise.web.views.definition import announce, busy
from poolwise.web.views.live import PageRequest, live_page, signed_in

LIVE_EVERY_S = 1.0
#: A longer result is shown in part; the whole of it is a download.
RESULT_SHOWN_CHARS = 20_000
#: A shorter stall of hub or loop is no news.
SHOWN_STALL_S = 0.02
_SHOWN_PART_S = 0.00005
_PARTS = {
    "cpu": "on a core",
    "run_queue": "ready, without a core",
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
    """Show one job; htmx asks for what changes until the job has ended."""
    found = _job(request, pk)
    context = {**_page_context(request, found), **_live_context(found), **_stall_context(request, found)}
    every_s = None if found.has_ended else LIVE_EVERY_S
    return live_page(request, "poolwise/job.html", "poolwise/_job.html", context, every_s=every_s)


def _page_context(request: PageRequest, found: Job) -> dict[str, Any]:
    reruns = (
        Job.objects.visible_to(request.user).filter(parent=found).only("pk", "state", "definition", "pool")
    )
    return {
        "job": found,
        "definition": definitions.find(found.definition),
        "reruns": reruns[:10],
        "may_cancel": may_cancel(request.user, found),
    }


def _live_context(found: Job) -> dict[str, Any]:
    outcome = TaskResult.objects.filter(task_id=str(found.pk)).only("result", "traceback").first()
    text = result_text(found, outcome)
    now = None if found.has_ended else pools_now()
    return {
        "pieces": timeline.pieces(timeline.timings_now(found, timezone.now())),
        "cpu_share": timeline.cpu_share(found),
        "cannot_be_stopped": _cannot_be_stopped(found),
        "is_late": found.due_at is not None and found.due_at < timezone.now(),
        "now": now,
        "pool": now and now.pools.get(found.pool),
        "pause_reason": ""
        if found.state != JobState.QUEUED
        else pauses.paused_now().reason(found.pool, found.definition),
        "attempts": [{**entry, "pieces": timeline.pieces(entry, without=["lag"])} for entry in found.history],
        "logs": list(found.logs.all()),
        "result": text and text[:RESULT_SHOWN_CHARS],
        "result_is_cut": bool(text) and len(text or "") > RESULT_SHOWN_CHARS,
        "traceback": outcome.traceback if outcome and found.state == JobState.FAILED else "",
    }


def _cannot_be_stopped(found: Job) -> bool:
    if found.has_ended or found.cancel_requested_at is None:
        return False
    return cancellation.can_be_stopped(found) is cancellation.CancelOutcome.UNSTOPPABLE


def _stall_context(request: PageRequest, found: Job) -> dict[str, Any]:
    """Return what the run was made of, and which job stalled the hub or loop meanwhile, if one is known to have."""
    parts = time_split(found) if found.has_ended else {}
    is_stalled = (found.stall_s or 0.0) >= SHOWN_STALL_S
    culprit = stalled_by(found) if is_stalled else None
    return {
        "run_parts": [(_PARTS[name], seconds) for name, seconds in parts.items() if seconds >= _SHOWN_PART_S],
        "is_stalled": is_stalled,
        "has_stalled": (found.caused_stall_s or 0.0) >= SHOWN_STALL_S,
        "culprit": culprit,
        "may_see_culprit": culprit is not None
        and Job.objects.visible_to(request.user).filter(pk=culprit.pk).exists(),
    }


def result_text(found: Job, outcome: TaskResult | None) -> str | None:
    """Return what the job returned as indented JSON, or None when there is nothing."""
    if found.state != JobState.SUCCEEDED or outcome is None or outcome.result is None:
        return None
    try:
        return pretty(json.loads(outcome.result))
    except ValueError:
        return str(outcome.result)


@require_safe
@signed_in
def result(request: PageRequest, pk: UUID) -> HttpResponse:
    """Answer with what the job returned, as a JSON file."""
    found = _job(request, pk)
    text = result_text(found, TaskResult.objects.filter(task_id=str(found.pk)).first())
    if text is None:
        raise Http404("The job has no result.")
    headers = {"Content-Disposition": f'attachment; filename="{found.definition}-{found.pk}.json"'}
    return HttpResponse(text, content_type="application/json", headers=headers)


@require_POST
@signed_in
def run_again(request: PageRequest, pk: UUID) -> HttpResponse:
    """Submit the job once more, with the same parameters on the same pool, and go to the new job."""
    found = _job(request, pk)
    require_submit(request.user)
    try:
        again = submission.run_again(found, user=request.user, request_id=request.request_id)
    except QueueFull as error:
        context = {"error": error, "back": found.get_absolute_url(), "title": f"Run {found.definition} again"}
        return busy(render(request, "poolwise/busy.html", context), error)
    except PoolwiseError as error:
        messages.error(request, str(error))
        return redirect(found)
    announce(request, [again])
    return redirect(again)


@require_POST
@signed_in
def cancel(request: PageRequest, pk: UUID) -> HttpResponse:
    """Cancel the job, or ask its worker to stop it."""
    found = _job(request, pk)
    require_cancel(request.user, found)
    try:
        reason = request.POST.get("reason", "")
        outcome = submission.cancel(found, user=request.user, reason=reason)
    except PoolwiseError as error:
        messages.error(request, str(error))
    else:
        messages.add_message(request, CANCEL_LEVELS[outcome], outcome.sentence("the job"))
    return redirect(found)
