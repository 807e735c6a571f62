"""For the dashboard: the newest answers, and definitions whose jobs run on a pool that is out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import F
from pydantic import TypeAdapter

from poolwise.lab.report.model import Answer
from poolwise.models import Comparison

#: How many of the most used definitions, and of their newest comparisons, are searched for an answer.
_DEFINITIONS, _COMPARISONS = 50, 200
#: A list reads and validates only the part of a report that it shows.
_ANSWER = TypeAdapter(Answer)


@dataclass(frozen=True, slots=True)
class RecentAnswer:
    """The answer of one comparison."""

    comparison: UUID
    definition: str
    at: datetime
    answer: Answer
    is_imported: bool


@dataclass(frozen=True, slots=True)
class Misplaced:
    """A definition whose jobs run on a pool although an answer recommends `better`, which is `ratio` times as fast."""

    definition: str
    pool: str
    jobs: int
    better: str
    ratio: float | None
    comparison: UUID
    at: datetime


def newest_answers(limit: int) -> list[RecentAnswer]:
    """Return the answers of the newest comparisons."""
    rows = (
        Comparison.objects.filter(report__isnull=False)
        .order_by("-created_at")
        .values("pk", "definition", "created_at", "imported_at", answer=F("report__answer"))[:limit]
    )
    return [
        RecentAnswer(
            row["pk"],
            row["definition"],
            row["created_at"],
            _ANSWER.validate_python(row["answer"]),
            row["imported_at"] is not None,
        )
        for row in rows
    ]


def misplaced(uses: Mapping[str, Mapping[str, int]]) -> list[Misplaced]:
    """Return the definitions that run on a pool which their newest answer rules out.

    `uses` counts a definition's jobs by pool. An imported report does not count: it is of another machine.
    """
    most_used = sorted(uses, key=lambda name: -sum(uses[name].values()))[:_DEFINITIONS]
    slower = [
        use
        for name, row in _answers_of(most_used).items()
        for pool, jobs in uses[name].items()
        if (use := _misplaced(row, name, pool, jobs))
    ]
    return sorted(slower, key=lambda use: (-use.jobs, use.definition, use.pool))


def _answers_of(names: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    rows = (
        Comparison.objects.filter(
            definition__in=names, report__isnull=False, imported_at=None, vary__isnull=True
        )
        .order_by("-created_at")
        .values("pk", "definition", "created_at", answer=F("report__answer"))[:_COMPARISONS]
    )
    newest: dict[str, Mapping[str, Any]] = {}
    for row in rows:
        answer = _ANSWER.validate_python(row["answer"])
        if answer.pool:
            newest.setdefault(row["definition"], {**row, "answer": answer})
    return newest


def _misplaced(row: Mapping[str, Any], name: str, pool: str, jobs: int) -> Misplaced | None:
    answer: Answer = row["answer"]
    here, better = answer.standing(pool), answer.standing(answer.pool)
    if here is None or here.role != "out":
        return None
    ratio = here.of_fastest / better.of_fastest if here.of_fastest and better and better.of_fastest else None
    return Misplaced(name, pool, jobs, answer.pool, ratio, row["pk"], row["created_at"])
