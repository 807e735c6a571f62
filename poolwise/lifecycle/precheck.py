"""What a submission must know of the database before it stores jobs, by one statement."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection
from django.utils import timezone

from poolwise.lifecycle import deduplication
from poolwise.lifecycle.back_pressure import Limit
from poolwise.lifecycle.pauses import Paused, paused_of
from poolwise.models import Job, Pause

#: Names of the rows that are no pauses.
_LIMIT, _KNOWN = "limit", "known"
#: A SELECT of a row's name, a count and two texts, with its parameters.
type _Part = tuple[str, list[Any]]


@dataclass(frozen=True, slots=True)
class Precheck:
    """What is paused; whether a limit is near, and whether jobs with these keys are stored already."""

    paused: Paused
    is_near: bool
    is_known: bool


def precheck(jobs: Sequence[Job], limits: Sequence[Limit], *, for_later: bool) -> Precheck:
    """Return what limits or repeats these jobs. Only counts well below a limit are exact enough to rely on."""
    open_limits = [limit for limit in limits if not limit.is_large]
    parts = [*_of_limits(open_limits, for_later), *_of_keys(jobs), _of_pauses()]
    with connection.cursor() as cursor:
        cursor.execute(
            " UNION ALL ".join(statement for statement, _ in parts),
            [value for _, values in parts for value in values],
        )
        rows = cursor.fetchall()
    counts = [number for kind, number, *_ in rows if kind == _LIMIT]
    return Precheck(
        paused_of((kind, name, state) for kind, _, name, state in rows if kind not in (_LIMIT, _KNOWN)),
        is_near=len(open_limits) < len(limits)
        or any(limit.is_near(number) for limit, number in zip(open_limits, counts, strict=True)),
        is_known=any(number for kind, number, *_ in rows if kind == _KNOWN),
    )


def _of_limits(limits: Sequence[Limit], for_later: bool) -> Iterator[_Part]:
    now = timezone.now()
    for limit in limits:
        rows, values = limit.rows(now, for_later=for_later, most=limit.most // 2)
        yield f"SELECT '{_LIMIT}', COUNT(*), '', '' FROM ({rows}) AS counted", values  # noqa: S608 - no values in it


def _of_keys(jobs: Sequence[Job]) -> Iterator[_Part]:
    """Yield the parts that find jobs with the keys of these, except an idempotency key of one job: its insert will tell.

    Of idempotency keys the first job's stands for all. A unique key may be stored as an earlier secret made it.
    """
    found = f"SELECT '{_KNOWN}', COUNT(*), '', '' FROM {Job._meta.db_table} WHERE"  # noqa: S608
    if (key := jobs[0].idempotency_key) and len(jobs) > 1:
        yield f"{found} idempotency_key = %s", [key]
    keys = [key for job in jobs if job.unique_key for key in deduplication.keys_of(job)]
    if keys:
        holders = ", ".join(["%s"] * len(keys))
        yield f"{found} state IN ('queued', 'running') AND unique_key IN ({holders})", keys


def _of_pauses() -> _Part:
    return f"SELECT kind, 0, name, state FROM {Pause._meta.db_table}", []  # noqa: S608
