"""The list of jobs for pages, admin and API: which jobs match a filter, in which order, and whether all were searched."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from django.contrib.auth.models import User
from django.db.models import Q, TextField
from django.db.models.functions import Cast
from django.utils import timezone
from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints

from poolwise import definitions
from poolwise.models import LIVE, Job, JobQuerySet
from poolwise.reports import paging
from poolwise.reports.known_pools import known_pools
from poolwise.reports.lead import Lead, only
from poolwise.reports.paging import Page, page_of
from poolwise.support import InvalidParameters, UnknownDefinition, as_uuid, is_storable

#: The search, and every filter but the first, apply to the newest jobs only, so that a long history costs nothing.
SEARCH_LIMIT = 10_000
#: Each has an index with the creation time; the first that is used leads.
_INDEXED = ("request_id", "user_id", "definition", "pool", "state")
_SCOPES = {
    "": "jobs",
    "request_id": "jobs of this submission",
    "user_id": "of your jobs",
    "definition": "jobs of this definition",
    "pool": "jobs on this pool",
    "state": "jobs in this state",
}
AGES = {
    "1h": ("Last hour", timedelta(hours=1)),
    "24h": ("Last 24 hours", timedelta(hours=24)),
    "7d": ("Last 7 days", timedelta(days=7)),
    "30d": ("Last 30 days", timedelta(days=30)),
}


def _storable(text: str) -> str:
    if not is_storable(text):
        raise ValueError("No job contains such a character.")
    return text


_Text = Annotated[str, StringConstraints(strip_whitespace=True, max_length=200), AfterValidator(_storable)]


class JobFilter(BaseModel):
    """The filters of a list; an empty one matches every job."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    state: Literal["", "queued", "running", "succeeded", "failed", "cancelled"] = ""
    pool: _Text = ""
    definition: _Text = ""
    kind: _Text = ""
    age: Literal["", "1h", "24h", "7d", "30d"] = ""
    #: A job's id, the beginning of a definition's name, or text in the parameters.
    q: _Text = ""
    submission: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{0,64}$")] = ""
    owner: Literal["", "all"] = ""

    def refuse_unknown(self) -> None:
        """Raise InvalidParameters for an unknown pool or definition."""
        faults = {}
        if self.pool and self.pool not in known_pools():
            faults["pool"] = f"There is no pool {self.pool}."
        try:
            definitions.get(self.definition) if self.definition else None
        except UnknownDefinition as error:
            faults["definition"] = str(error)
        if faults:
            raise InvalidParameters(faults)


@dataclass(frozen=True, slots=True)
class Counts:
    """How many of the newest jobs are in each state."""

    by_state: Mapping[str, int]

    @property
    def total(self) -> int:
        """Return how many jobs were counted."""
        return sum(self.by_state.values())

    @property
    def live(self) -> int:
        """Return how many have not ended."""
        return sum(self.by_state.get(state, 0) for state in LIVE)

    @property
    def ended(self) -> int:
        """Return how many have ended."""
        return self.total - self.live

    @property
    def is_bounded(self) -> bool:
        """Return whether there may be more jobs than were counted."""
        return self.total >= paging.COUNT_LIMIT


@dataclass(frozen=True, slots=True)
class JobList:
    """The jobs that match a filter, newest first; `cut_to` names the newest jobs that were searched, empty if all were."""

    #: Before the lead bounds them.
    among: JobQuerySet
    lead: Lead = field(default_factory=Lead)
    cut_to: str = ""

    @property
    def jobs(self) -> JobQuerySet:
        """Return all of them."""
        return self.lead.all(self.among).order_by(*self.lead.order, "-id")

    def page(self, keys: Mapping[str, Any], *, strict: bool = False) -> Page[Job]:
        """Return the page that the cursors `before` and `after` ask for; see `page_of`."""
        return page_of(self.among.order_by(*self.lead.order, "-id"), keys, lead=self.lead, strict=strict)

    def counts(self) -> Counts:
        """Count the newest jobs by state."""
        # Without the primary key in their order, which no index has.
        newest = self.jobs.order_by(*self.lead.order)
        return Counts(Counter(newest.values_list("state", flat=True)[: paging.COUNT_LIMIT]))


def list_jobs(user: User, chosen: JobFilter, among: JobQuerySet | None = None) -> JobList:
    """Return the matching jobs that the user may see, newest first.

    The first filter (or the user) uses its index, however long the history; the others apply to the newest jobs that
    match the first.
    """
    exact = _exact(user, chosen)
    column = next((name for name in _INDEXED if name in exact), "")
    since = timezone.now() - AGES[chosen.age][1] if chosen.age else None
    lead = Lead(column, exact.pop(column, None), since=since)
    jobs = only(Job.objects.prefetch_related("user") if among is None else among, exact)
    if (pk := as_uuid(chosen.q)) and lead.all(jobs).filter(pk=pk).exists():
        return JobList(jobs.filter(pk=pk), lead)
    edge = _edge(lead) if exact or chosen.q else None
    if chosen.q:
        jobs = jobs.alias(params_text=Cast("params", TextField())).filter(_holds(chosen.q))
    cut_to = f"{SEARCH_LIMIT:,} {_SCOPES[column]}" if edge else ""
    return JobList(jobs, replace(lead, since=edge or since), cut_to)


def _exact(user: User, chosen: JobFilter) -> dict[str, Any]:
    names = ("definition", "pool", "state", "kind")
    exact = {name: getattr(chosen, name) for name in names if getattr(chosen, name)}
    if chosen.submission:
        exact["request_id"] = chosen.submission
    sees_all = chosen.owner == "all" and user.has_perm("poolwise.view_job")
    return exact if sees_all else {"user_id": user.pk, **exact}


def _edge(lead: Lead) -> datetime | None:
    """Return the creation time of the last job to search, None if there are fewer; reads only the index."""
    newest = lead.all(Job.objects.order_by(*lead.order)).values_list("created_at", flat=True)
    return newest[SEARCH_LIMIT : SEARCH_LIMIT + 1].first()


def _holds(text: str) -> Q:
    # SQLite stores JSON as written, with \u escapes; PostgreSQL decodes it.
    in_params = Q(params_text__icontains=text) | Q(params_text__icontains=json.dumps(text)[1:-1])
    return in_params | Q(definition__startswith=text)
