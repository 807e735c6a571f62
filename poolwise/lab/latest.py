"""For the dashboard: the newest verdicts, and definitions whose jobs run on a slower pool than measured."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import F
from pydantic import TypeAdapter

from poolwise.lab.report.model import Pair, outcome_between
from poolwise.lab.statistics import CANNOT_TELL, FASTER, NO_DIFFERENCE, SLOWER
from poolwise.models import Comparison

#: How many of the most used definitions, and of their newest comparisons, are searched for a report.
_DEFINITIONS, _COMPARISONS = 50, 200
#: A list reads and validates only the parts of a report that it shows.
_PAIRS = TypeAdapter(list[Pair])
_RANKS = {FASTER: 3, SLOWER: 2, NO_DIFFERENCE: 1}


@dataclass(frozen=True, slots=True)
class RecentVerdict:
    """The verdict of one comparison; `reason` says why it was withheld."""

    comparison: UUID
    definition: str
    at: datetime
    outcome: str
    sentence: str
    reason: str
    is_imported: bool


@dataclass(frozen=True, slots=True)
class Misplaced:
    """A definition whose jobs run on a pool although a report shows that `better` is faster, `ratio` times."""

    definition: str
    pool: str
    jobs: int
    better: str
    ratio: float | None
    comparison: UUID
    at: datetime


def newest_verdicts(limit: int) -> list[RecentVerdict]:
    """Return the verdicts of the newest comparisons."""
    rows = (
        Comparison.objects.filter(report__isnull=False)
        .order_by("-created_at")
        .values("pk", "definition", "created_at", "imported_at", sentence=F("report__sentence"),
                verdicts=F("report__verdicts"), validity=F("report__validity"))[:limit]
    )  # fmt: skip
    return [_recent_verdict(row) for row in rows]


def _recent_verdict(row: Mapping[str, Any]) -> RecentVerdict:
    outcomes = [str(verdict.get("outcome")) for verdict in (row["verdicts"] or {}).values()]
    validity = row["validity"] or {}
    failed = [check for check in validity.get("checks", ()) if check["matters"] and not check["passed"]]
    reason = "" if validity.get("valid", True) or not failed else failed[0]["reason"] or failed[0]["title"]
    outcome = max(outcomes, key=lambda outcome: _RANKS.get(outcome, 0), default=CANNOT_TELL)
    return RecentVerdict(
        row["pk"],
        row["definition"],
        row["created_at"],
        outcome,
        row["sentence"] or "",
        reason,
        row["imported_at"] is not None,
    )


def misplaced(uses: Mapping[str, Mapping[str, int]]) -> list[Misplaced]:
    """Return the definitions that run on a slower pool, by their newest valid report.

    `uses` counts a definition's jobs by pool. An imported report does not count: it is of another machine.
    """
    most_used = sorted(uses, key=lambda name: -sum(uses[name].values()))[:_DEFINITIONS]
    slower = [
        use
        for name, row in _reports_of(most_used).items()
        for pool, jobs in uses[name].items()
        if (use := _misplaced(row, name, pool, jobs))
    ]
    return sorted(slower, key=lambda use: (-use.jobs, use.definition, use.pool))


def _reports_of(names: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    rows = (
        Comparison.objects.filter(definition__in=names, report__isnull=False, imported_at=None)
        .order_by("-created_at")
        .values("pk", "definition", "created_at", valid=F("report__validity__valid"), advice=F("report__advice"),
                pairs=F("report__pairs"))[:_COMPARISONS]
    )  # fmt: skip
    newest: dict[str, Mapping[str, Any]] = {}
    for row in rows:
        if row["valid"] and row["advice"] and row["definition"] not in newest:
            newest[row["definition"]] = {**row, "pairs": _PAIRS.validate_python(row["pairs"])}
    return newest


def _misplaced(row: Mapping[str, Any], name: str, pool: str, jobs: int) -> Misplaced | None:
    better, pairs = row["advice"]["pool"], row["pairs"]
    if outcome_between(pairs, pool, better) != FASTER:
        return None
    return Misplaced(name, pool, jobs, better, _ratio(pairs, pool, better), row["pk"], row["created_at"])


def _ratio(pairs: Sequence[Pair], base: str, other: str) -> float | None:
    for pair in pairs:
        if pair.ratio and {pair.base, pair.other} == {base, other}:
            return pair.ratio if pair.base == base else 1 / pair.ratio
    return None
