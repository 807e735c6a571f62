"""What the newest evidence says, for the dashboard: verdicts, and definitions that run where it speaks against."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import F
from pydantic import TypeAdapter

from jobs.evidence.report import Pair, word_between
from jobs.models import Comparison
from jobs.verdicts import CANNOT_TELL, FASTER, NO_DIFFERENCE, SLOWER

#: Of so many definitions, the most used, the evidence is looked up, among so many of their newest comparisons.
_DEFINITIONS, _COMPARISONS = 50, 200
#: Of a list that shows a sentence each, only what is asked for is read and checked, not the whole evidence.
_PAIRS = TypeAdapter(list[Pair])
_RANKS = {FASTER: 3, SLOWER: 2, NO_DIFFERENCE: 1}


@dataclass(frozen=True, slots=True)
class News:
    """The verdict of one comparison; `reason` says why it was withheld."""

    comparison: UUID
    definition: str
    at: datetime
    word: str
    sentence: str
    reason: str
    is_imported: bool


@dataclass(frozen=True, slots=True)
class Misplaced:
    """A definition whose jobs run on a pool though the evidence shows another to be faster, `ratio` times."""

    definition: str
    pool: str
    jobs: int
    better: str
    ratio: float | None
    comparison: UUID
    at: datetime


def newest_verdicts(limit: int) -> list[News]:
    """Return the verdicts of the newest comparisons."""
    rows = (
        Comparison.objects.filter(evidence__isnull=False)
        .order_by("-created_at")
        .values("pk", "definition", "created_at", "imported_at", sentence=F("evidence__sentence"),
                verdicts=F("evidence__verdicts"), gate=F("evidence__gate"))[:limit]
    )  # fmt: skip
    return [_news(row) for row in rows]


def _news(row: Mapping[str, Any]) -> News:
    words = [str(verdict.get("word")) for verdict in (row["verdicts"] or {}).values()]
    gate = row["gate"] or {}
    failed = [badge for badge in gate.get("badges", ()) if badge["matters"] and not badge["passed"]]
    reason = "" if gate.get("valid", True) or not failed else failed[0]["reason"] or failed[0]["title"]
    word = max(words, key=lambda word: _RANKS.get(word, 0), default=CANNOT_TELL)
    return News(
        row["pk"],
        row["definition"],
        row["created_at"],
        word,
        row["sentence"] or "",
        reason,
        row["imported_at"] is not None,
    )


def misplaced(uses: Mapping[str, Mapping[str, int]]) -> list[Misplaced]:
    """Return which of the definitions run on a pool that their newest valid evidence speaks against.

    `uses` counts a definition's jobs by pool. Imported evidence does not count: it speaks of another machine.
    """
    most_used = sorted(uses, key=lambda name: -sum(uses[name].values()))[:_DEFINITIONS]
    found: list[Misplaced] = []
    for name, row in _evidence_of(most_used).items():
        found += [one for pool, jobs in uses[name].items() if (one := _objection(row, name, pool, jobs))]
    return sorted(found, key=lambda one: (-one.jobs, one.definition, one.pool))


def _evidence_of(names: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    rows = (
        Comparison.objects.filter(definition__in=names, evidence__isnull=False, imported_at=None)
        .order_by("-created_at")
        .values("pk", "definition", "created_at", valid=F("evidence__gate__valid"), advice=F("evidence__advice"),
                pairs=F("evidence__pairs"))[:_COMPARISONS]
    )  # fmt: skip
    newest: dict[str, Mapping[str, Any]] = {}
    for row in rows:
        if row["valid"] and row["advice"] and row["definition"] not in newest:
            newest[row["definition"]] = {**row, "pairs": _PAIRS.validate_python(row["pairs"])}
    return newest


def _objection(row: Mapping[str, Any], name: str, pool: str, jobs: int) -> Misplaced | None:
    better, pairs = row["advice"]["pool"], row["pairs"]
    if word_between(pairs, pool, better) != FASTER:
        return None
    return Misplaced(name, pool, jobs, better, _ratio(pairs, pool, better), row["pk"], row["created_at"])


def _ratio(pairs: Sequence[Pair], base: str, other: str) -> float | None:
    for pair in pairs:
        if pair.ratio and {pair.base, pair.other} == {base, other}:
            return pair.ratio if pair.base == base else 1 / pair.ratio
    return None
