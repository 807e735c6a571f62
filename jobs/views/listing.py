"""Which jobs a list shows: filters, bounded counts and keyset pages."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.db.models import Q, TextField
from django.db.models.functions import Cast

from jobs import timeline
from jobs.errors import InvalidParameters
from jobs.models import LIVE, Job, JobQuerySet, State

PAGE_SIZE = 50
#: Counts, the search in parameters and all filters but the first look at the newest jobs only, so that a long history
#: costs nothing.
COUNT_BOUND = 5_000
SEARCH_BOUND = 20_000
#: Each has an index with the creation time; the first that is used leads.
_FILTERS = ("definition", "pool", "state")
_SCOPES = {
    "": "jobs",
    "user_id": "of your jobs",
    "definition": "jobs of this definition",
    "pool": "jobs on this pool",
    "state": "jobs in this state",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One job of the list."""

    job: Job
    wait_s: float | None
    cpu_share: float | None
    pieces: list[timeline.Piece]


@dataclass(frozen=True, slots=True)
class Chosen:
    """The jobs that filters leave; `cut_to` says which newest jobs alone were looked at, empty where all were."""

    jobs: JobQuerySet
    cut_to: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """One page of jobs, newest first, and the keys of its neighbours."""

    jobs: list[Job]
    newer: str | None = None
    older: str | None = None
    has_key: bool = False


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
        return self.total >= COUNT_BOUND


def chosen_jobs(user: User, chosen: Mapping[str, str]) -> Chosen:
    """Return what the filters leave of the jobs that the user may see.

    One filter, or being the user's, is answered by its index however long the history is; the first of several is, and
    the others are tried on the newest of its jobs.
    """
    exact = _exact(user, chosen)
    lead = next(iter(exact), "")
    jobs, order = _newest(lead, exact.pop(lead, None))
    edge = _edge(jobs.order_by(*order)) if exact or chosen.get("submission") or chosen.get("q") else None
    if edge:
        jobs = jobs.filter(created_at__gte=edge)
    if submission := chosen.get("submission"):
        exact["request_id"] = submission
    if text := chosen.get("q"):
        jobs = jobs.alias(text=Cast("params", TextField())).filter(_holds(text))
    cut_to = f"{SEARCH_BOUND:,} {_SCOPES[lead]}" if edge else ""
    return Chosen(jobs.filter(**exact).order_by(*order, "-id"), cut_to)


def _exact(user: User, chosen: Mapping[str, str]) -> dict[str, Any]:
    exact: dict[str, Any] = {name: chosen[name] for name in _FILTERS if chosen.get(name)}
    if chosen.get("owner") == "all" and user.has_perm("jobs.view_job"):
        return exact
    return {"user_id": user.pk, **exact}


def _newest(lead: str, value: Any) -> tuple[JobQuerySet, tuple[str, ...]]:
    """Return the jobs with that value, and their order, the newest first, to which one index fits and no other.

    Had they to be equal, their order would be that of all jobs: where a state has not occurred lately, or somebody has
    not come lately, PostgreSQL walked through millions of newer jobs instead.
    """
    if not lead:
        return Job.objects.all(), ("-created_at",)
    return Job.objects.filter(**{f"{lead}__gte": value, f"{lead}__lte": value}), (lead, "-created_at")


def _edge(newest: JobQuerySet) -> datetime | None:
    """Return when the last job that is looked at was created, None where there are not so many; asks the index alone."""
    return newest.values_list("created_at", flat=True)[SEARCH_BOUND : SEARCH_BOUND + 1].first()


def _holds(text: str) -> Q:
    # SQLite keeps JSON as it was written, with \u escapes; PostgreSQL decodes it.
    return Q(text__icontains=text) | Q(text__icontains=json.dumps(text)[1:-1])


def counts_of(jobs: JobQuerySet) -> Counts:
    """Count the newest jobs by state."""
    return Counts(Counter(jobs.values_list("state", flat=True)[:COUNT_BOUND]))


def page_of(jobs: JobQuerySet, keys: Mapping[str, Any]) -> Page:
    """Return the page after the key `before` (older jobs) or before the key `after` (newer ones), else the first."""
    if key := _parse(keys.get("after", "")):
        found = list(jobs.filter(_beyond("gt", *key)).reverse()[: PAGE_SIZE + 1])
        if len(found) > PAGE_SIZE:
            shown = found[PAGE_SIZE - 1 :: -1]
            return Page(shown, newer=_key(shown[0]), older=_key(shown[-1]), has_key=True)
        key = None  # fewer than a page: that is the first page
    else:
        key = _parse(keys.get("before", ""))
    if key:
        jobs = jobs.filter(_beyond("lt", *key))
    found = list(jobs[: PAGE_SIZE + 1])
    shown = found[:PAGE_SIZE]
    older = _key(shown[-1]) if len(found) > PAGE_SIZE else None
    return Page(shown, newer=_key(shown[0]) if key and shown else None, older=older, has_key=bool(key))


def checked(**keys: str) -> dict[str, str]:
    """Return the keys of a page. Raise InvalidParameters that names one that is none.

    The first page in its place would send a program that follows the keys round and round.
    """
    if bad := [name for name, key in keys.items() if key and _parse(key) is None]:
        text = "This is no cursor of an answer: use its `older` or `newer` as it stands there."
        raise InvalidParameters(dict.fromkeys(bad, text))
    return keys


def _beyond(way: str, created_at: datetime, pk: UUID) -> Q:
    # The first condition alone lets the database start in the middle of the index.
    return Q(**{f"created_at__{way}e": created_at}) & (
        Q(**{f"created_at__{way}": created_at}) | Q(**{f"id__{way}": pk})
    )


def _key(job: Job) -> str:
    # Z, not +00:00: in an address that is put together by hand a plus sign is a space.
    return f"{job.created_at.astimezone(UTC).replace(tzinfo=None).isoformat()}Z_{job.pk.hex}"


def _parse(key: str) -> tuple[datetime, UUID] | None:
    stamp, _, pk = key.partition("_")
    try:
        created_at = datetime.fromisoformat(stamp)
        # In UTC here already: no database takes a moment that is before the year 1 or after 9999 there.
        return (created_at.astimezone(UTC), UUID(pk)) if created_at.tzinfo else None
    except (ValueError, OverflowError):
        return None


def rows_of(jobs: list[Job]) -> list[Row]:
    """Return the jobs with bars of one scale: the longest job of the page fills its bar."""
    longest_s = max(map(timeline.total_s, jobs), default=0.0)
    return [
        Row(
            job,
            None if job.worker_wait_s is None else (job.broker_wait_s or 0.0) + job.worker_wait_s,
            timeline.cpu_share(job),
            timeline.pieces(timeline.timings_of(job), scale_s=longest_s or None, without=["lag"]),
        )
        for job in jobs
    ]


def states() -> list[tuple[str, str]]:
    """Return the tabs of the list: every state, and all of them first."""
    return [("", "All"), *State.choices]
