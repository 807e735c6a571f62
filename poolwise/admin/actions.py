"""Actions on chosen jobs: each calls `submission` and shows the outcome as a message."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.db.models import QuerySet
from django.http import HttpRequest, StreamingHttpResponse
from django.template.defaultfilters import pluralize

from poolwise.admin import export
from poolwise.lifecycle import cancellation, submission
from poolwise.models import Job
from poolwise.reports import CANCEL_LEVELS
from poolwise.support import PoolwiseError

#: The most jobs that one action takes: it runs within a web request.
ACTION_LIMIT = 1_000
_SHOWN_ERRORS = 3


@admin.action(permissions=["submit"], description="Run again")
def run_again(model_admin: Any, request: HttpRequest, jobs: QuerySet[Job]) -> None:
    """Submit each job again, with the same parameters to the same pool."""
    if (chosen := _within_limit(model_admin, request, jobs)) is None:
        return
    submitted, errors = [], Counter[str]()
    for job in chosen:
        try:
            submission.run_again(job, user=request.user, request_id=getattr(request, "request_id", ""))  # type: ignore[arg-type]
            submitted.append(job)
        except PoolwiseError as error:
            errors[str(error)] += 1
    if submitted:
        _message(model_admin, request, messages.SUCCESS, f"{_jobs(len(submitted))} submitted again.")
        _log(request, submitted, "Ran again.")
    _message_errors(model_admin, request, errors)


@admin.action(permissions=["cancel"], description="Cancel")
def cancel(model_admin: Any, request: HttpRequest, jobs: QuerySet[Job]) -> None:
    """Cancel the queued jobs and ask the workers of the running ones to stop them."""
    if (chosen := _within_limit(model_admin, request, jobs)) is None:
        return
    outcomes, errors, touched = Counter[cancellation.CancelOutcome](), Counter[str](), []
    for job in chosen:
        try:
            outcome = submission.cancel(job, user=request.user)  # type: ignore[arg-type]
        except PoolwiseError as error:
            errors[str(error)] += 1
            continue
        outcomes[outcome] += 1
        if outcome is not cancellation.CancelOutcome.ENDED:
            touched.append(job)
    _message_outcomes(model_admin, request, outcomes)
    _log(request, touched, "Cancelled.")
    _message_errors(model_admin, request, errors)


@admin.action(permissions=["view"], description=f"Export as CSV (newest {export.EXPORT_LIMIT:,} at most)")
def export_csv(model_admin: Any, request: HttpRequest, jobs: QuerySet[Job]) -> StreamingHttpResponse:
    """Answer with the jobs as CSV."""
    return export.as_csv(jobs)


@admin.action(permissions=["view"], description=f"Export as JSON (newest {export.EXPORT_LIMIT:,} at most)")
def export_json(model_admin: Any, request: HttpRequest, jobs: QuerySet[Job]) -> StreamingHttpResponse:
    """Answer with the jobs as JSON."""
    return export.as_json(jobs)


def _within_limit(model_admin: Any, request: HttpRequest, jobs: QuerySet[Job]) -> list[Job] | None:
    chosen = list(jobs.defer(None)[: ACTION_LIMIT + 1])
    if len(chosen) > ACTION_LIMIT:
        text = f"Choose at most {ACTION_LIMIT:,} jobs at once: nothing was done. Filter for fewer."
        _message(model_admin, request, messages.ERROR, text)
        return None
    return chosen


def _jobs(count: int) -> str:
    return f"{count:,} job{pluralize(count)}"


def _message(model_admin: Any, request: HttpRequest, level: int, text: str) -> None:
    model_admin.message_user(request, text, level)


def _message_outcomes(
    model_admin: Any, request: HttpRequest, outcomes: Counter[cancellation.CancelOutcome]
) -> None:
    for outcome in cancellation.CancelOutcome:
        if outcomes[outcome]:
            level = CANCEL_LEVELS[outcome]
            _message(model_admin, request, level, outcome.sentence(_jobs(outcomes[outcome])))


def _message_errors(model_admin: Any, request: HttpRequest, errors: Counter[str]) -> None:
    for text, count in errors.most_common(_SHOWN_ERRORS):
        _message(model_admin, request, messages.ERROR, f"{_jobs(count)} not submitted or cancelled: {text}")
    if (rest := len(errors) - _SHOWN_ERRORS) > 0:
        _message(model_admin, request, messages.ERROR, f"{rest} more kinds of error are not shown.")


def _log(request: HttpRequest, jobs: Sequence[Job], text: str) -> None:
    if jobs:
        LogEntry.objects.log_actions(request.user.pk, jobs, CHANGE, text)  # type: ignore[arg-type]
