"""The list of jobs."""

from typing import Any

from django.http import HttpResponse, QueryDict
from django.views.decorators.http import require_safe

from jobs.forms import JobFilterForm
from jobs.models import Job
from jobs.views.listing import (
    COUNT_BOUND,
    Chosen,
    Counts,
    chosen_jobs,
    counts_of,
    page_of,
    rows_of,
    states,
)
from jobs.views.live import PageRequest, live_answer, live_part, own_address, signed_in

LIVE_EVERY_S, IDLE_EVERY_S = 1.5, 10.0


@require_safe
@signed_in
def jobs(request: PageRequest) -> HttpResponse:
    """List the person's jobs; htmx gets the rows and counts alone."""
    form = JobFilterForm(request.GET, sees_all=request.user.has_perm("jobs.view_job"))
    chosen = form.cleaned_data if form.is_valid() else {}
    found = chosen_jobs(request.user, chosen) if form.is_valid() else Chosen(Job.objects.none())
    counted = chosen_jobs(request.user, chosen | {"state": ""}) if chosen.get("state") else found
    counts, page = counts_of(counted.jobs), page_of(found.jobs, request.GET)
    context: dict[str, Any] = {"form": form, "chosen": chosen, "page": page, "rows": rows_of(page.jobs)}
    context |= {
        "cut_to": found.cut_to,
        "counts": counts,
        "count_bound": COUNT_BOUND,
        "tabs": _tabs(request.GET, chosen, counts),
    }
    context |= {
        "links": _links(request.GET, page.newer, page.older),
        "clear": _query(request.GET, submission=None),
    }
    every_s = LIVE_EVERY_S if counts.live else IDLE_EVERY_S
    part = live_part(
        request, "jobs/_jobs.html", context, name="live", url=own_address(request), every_s=every_s
    )
    return _named(request, live_answer(request, part, "jobs/jobs.html", context))


def _named(request: PageRequest, response: HttpResponse) -> HttpResponse:
    """Let the address bar follow the filters; not the refresh, which asks for what is there already."""
    if request.htmx and "seen" not in request.GET:
        response["HX-Replace-Url"] = _query(request.GET) or request.path
    return response


def _query(query: QueryDict, **changes: str | None) -> str:
    """Return a query string with some values changed, without the empty ones."""
    values = {name: query.get(name) for name in query} | changes
    fresh = QueryDict(mutable=True)
    fresh.update({name: value for name, value in values.items() if value and name != "seen"})
    return f"?{fresh.urlencode()}" if fresh else ""


def _tabs(query: QueryDict, chosen: dict[str, Any], counts: Counts) -> list[dict[str, Any]]:
    return [
        {
            "label": label,
            "state": state,
            "count": counts.by_state.get(state, 0) if state else counts.total,
            "is_on": chosen.get("state", "") == state,
            "query": _query(query, state=state, before=None, after=None) or "?",
        }
        for state, label in states()
    ]


def _links(query: QueryDict, newer: str | None, older: str | None) -> dict[str, str | None]:
    return {
        "first": _query(query, before=None, after=None) or "?",
        "newer": _query(query, before=None, after=newer) if newer else None,
        "older": _query(query, before=older, after=None) if older else None,
    }
