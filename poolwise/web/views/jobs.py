"""The list of jobs."""

from dataclasses import dataclass
from typing import Any

from django.http import HttpResponse, QueryDict
from django.views.decorators.http import require_safe

from poolwise import definitions
from poolwise.models import Job, JobState
from poolwise.reports import (
    COUNT_LIMIT,
    Counts,
    JobFilter,
    JobList,
    Page,
    list_jobs,
    ready_waits,
    submission,
    timeline,
)
from poolwise.web.forms import JobFilterForm
from poolwise.web.views.live import PageRequest, live_page, signed_in

LIVE_EVERY_S, IDLE_EVERY_S = 1.5, 10.0


@dataclass(frozen=True, slots=True)
class Row:
    """One job of the list."""

    job: Job
    wait_s: float | None
    cpu_share: float | None
    ready_waits: list[str]
    pieces: list[timeline.Piece]


@require_safe
@signed_in
def jobs(request: PageRequest) -> HttpResponse:
    """List the user's jobs; htmx gets only the rows and counts."""
    form = JobFilterForm(request.GET, sees_all=request.user.has_perm("poolwise.view_job"))
    chosen = JobFilter(**form.cleaned_data) if form.is_valid() else JobFilter()
    listed = list_jobs(request.user, chosen) if form.is_valid() else JobList(Job.objects.none())
    in_any_state = chosen.model_copy(update={"state": ""})
    counts = (list_jobs(request.user, in_any_state) if chosen.state else listed).counts()
    page = listed.page(request.GET)
    context: dict[str, Any] = {
        "form": form,
        "chosen": chosen,
        "page": page,
        "rows": _rows(page.rows),
        "cut_to": listed.cut_to,
        "counts": counts,
        "count_limit": COUNT_LIMIT,
        "tabs": _tabs(request.GET, chosen, counts),
        "links": _links(request.GET, page),
        "clear": _query(request.GET, submission=None),
    }
    if chosen.submission:
        context |= _card(request, chosen)
    every_s = LIVE_EVERY_S if counts.live else IDLE_EVERY_S
    return _with_url(
        request, live_page(request, "poolwise/jobs.html", "poolwise/_jobs.html", context, every_s=every_s)
    )


def _card(request: PageRequest, chosen: JobFilter) -> dict[str, Any]:
    """Return the figures of one submission, and whether a comparison can be filled in from it."""
    card = submission(request.user, chosen)
    definition = definitions.find(card.definition) if card.definition else None
    may_compare = request.user.has_perm("poolwise.submit_job")
    return {
        "card": card,
        "can_compare": may_compare and definition is not None and not definition.unavailable(),
        "compare_query": _query(QueryDict(), submission=chosen.submission, owner=chosen.owner),
    }


def _rows(jobs: list[Job]) -> list[Row]:
    """Return the jobs with bars on one scale: the longest job of the page fills its bar."""
    longest_s = max(map(timeline.total_s, jobs), default=0.0)
    return [
        Row(
            job,
            timeline.wait_s(job),
            timeline.cpu_share(job),
            ready_waits(job),
            timeline.pieces(timeline.timings_of(job), scale_s=longest_s or None, without=["lag"]),
        )
        for job in jobs
    ]


def _with_url(request: PageRequest, response: HttpResponse) -> HttpResponse:
    """Update the address bar with the filters, except for a refresh."""
    if request.htmx and "seen" not in request.GET:
        response["HX-Replace-Url"] = _query(request.GET) or request.path
    return response


def _query(query: QueryDict, **changes: str | None) -> str:
    """Return a query string with some values changed, without the empty ones."""
    values = {name: query.get(name) for name in query} | changes
    fresh = QueryDict(mutable=True)
    fresh.update({name: value for name, value in values.items() if value and name != "seen"})
    return f"?{fresh.urlencode()}" if fresh else ""


def _tabs(query: QueryDict, chosen: JobFilter, counts: Counts) -> list[dict[str, Any]]:
    """Return a tab for every state, and all of them first."""
    return [
        {
            "label": label,
            "state": state,
            "count": counts.by_state.get(state, 0) if state else counts.total,
            "is_on": chosen.state == state,
            "query": _query(query, state=state, before=None, after=None) or "?",
        }
        for state, label in [("", "All"), *JobState.choices]
    ]


def _links(query: QueryDict, page: Page[Job]) -> dict[str, str | None]:
    return {
        "first": _query(query, before=None, after=None) or "?",
        "newer": _query(query, before=None, after=page.newer) if page.newer else None,
        "older": _query(query, before=page.older, after=None) if page.older else None,
    }
