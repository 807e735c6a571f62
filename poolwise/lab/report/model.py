"""The report of a comparison: the one model that is built, stored, shown, and read from a bundle. docs/report.md.

Durations are seconds; None: not measured.
"""

from typing import Annotated, Literal, Self

from pydantic import Field

from poolwise.lab.report.figures import VariantFigures
from poolwise.lab.statistics import CANNOT_TELL, FASTER, SLOWER, Verdict, VerdictOutcome
from poolwise.support import (
    MAX_COMPARED,
    Count,
    Frozen,
    Json,
    Name,
    Number,
    Seconds,
    ShortText,
    Text,
    Values,
    VariantName,
)

VERSION: Literal[1] = 1


class Pair(Verdict):
    """The verdict on one pair: a ratio above 1 means that `other` is faster than `base`."""

    base: VariantName
    other: VariantName


class ValidityCheck(Frozen):
    """The result of one check. `pools` are those that a failure affects; empty: all."""

    id: ShortText
    title: ShortText
    passed: bool = True
    matters: bool = True
    reason: Text = ""
    pools: Annotated[tuple[VariantName, ...], Field(max_length=MAX_COMPARED)] = ()

    @property
    def withholds(self) -> bool:
        """Return whether this check withholds the verdict."""
        return self.matters and not self.passed


class Validity(Frozen):
    """The validity checks; `valid`: no check withholds the verdict."""

    valid: bool
    checks: Annotated[list[ValidityCheck], Field(max_length=100)]

    @classmethod
    def of(cls, checks: list[ValidityCheck]) -> Self:
        """Summarise checks."""
        return cls(valid=not any(check.withholds for check in checks), checks=checks)


class Advice(Frozen):
    """The recommended pool and slots, why, what would change it; `proven`: whether a verdict supports it."""

    pool: Name
    slots: Count
    text: Text
    would_change: Text
    proven: bool


class SweepPoint(Frozen):
    """The figures of a pool at a number of slots."""

    slots: Count
    jobs_per_s: Number | None
    p95_s: Seconds | None
    memory_bytes: Count | None
    db_connections: Count | None
    is_knee: bool = False


type Cells = Annotated[list[Annotated[str, Field(max_length=300)]], Field(max_length=20)]


class ResultsTable(Frozen):
    """The results of a job with a lesson, one or more rows per variant."""

    head: Cells
    rows: Annotated[list[Cells], Field(max_length=200)]


class Report(Frozen):
    """The report of a comparison."""

    version: Literal[1] = VERSION
    sentence: Text
    metric: Text
    baseline: Annotated[str, Field(max_length=300)]
    vary: dict[Name, Values] | None = None
    verdicts: Annotated[dict[VariantName, Verdict], Field(max_length=MAX_COMPARED)]
    pairs: Annotated[list[Pair], Field(max_length=MAX_COMPARED**2)]
    pools: Annotated[list[VariantFigures], Field(max_length=MAX_COMPARED)]
    validity: Validity
    environment: Json
    advice: Advice | None = None
    sweep: dict[VariantName, Annotated[list[SweepPoint], Field(max_length=100)]] | None = None
    lesson: Text = ""
    results_table: ResultsTable | None = None

    def has_knee(self, pool: str, slots: int) -> bool:
        """Return whether the sweep of the pool has its knee at this number of slots."""
        return any(point.is_knee and point.slots == slots for point in (self.sweep or {}).get(pool, ()))


def outcome_between(pairs: list[Pair], base: str, other: str) -> VerdictOutcome:
    """Return the outcome of `other` compared with `base`, in whichever order the pair was compared."""
    turned: dict[VerdictOutcome, VerdictOutcome] = {FASTER: SLOWER, SLOWER: FASTER}
    for pair in pairs:
        if (pair.base, pair.other) == (base, other):
            return pair.outcome
        if (pair.base, pair.other) == (other, base):
            return turned.get(pair.outcome, pair.outcome)
    return CANNOT_TELL
