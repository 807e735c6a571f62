"""What a comparison came to: the one model that is built, stored, shown, and read from a bundle. docs/report.md.

Durations are seconds; None is what was not measured.
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
    """The verdict on one pair: a ratio above 1 says that `other` is faster than `base`."""

    base: VariantName
    other: VariantName


class ValidityCheck(Frozen):
    """One rule's answer. `pools` are those that a failure spoils; none named means all."""

    id: ShortText
    title: ShortText
    passed: bool = True
    matters: bool = True
    reason: Text = ""
    pools: Annotated[tuple[VariantName, ...], Field(max_length=MAX_COMPARED)] = ()

    @property
    def withholds(self) -> bool:
        """Return whether the verdict is withheld on its account."""
        return self.matters and not self.passed


class Validity(Frozen):
    """The validity checks: `valid` says that no check withholds a verdict."""

    valid: bool
    checks: Annotated[list[ValidityCheck], Field(max_length=100)]

    @classmethod
    def of(cls, checks: list[ValidityCheck]) -> Self:
        """Return the validity checks of these checks."""
        return cls(valid=not any(check.withholds for check in checks), checks=checks)


class Advice(Frozen):
    """The recommended pool and slots, why, what would change it, and whether a verdict carries it: `proven`."""

    pool: Name
    slots: Count
    text: Text
    would_change: Text
    proven: bool


class SweepPoint(Frozen):
    """What a pool came to at a number of slots."""

    slots: Count
    jobs_per_s: Number | None
    p95_s: Seconds | None
    memory_bytes: Count | None
    db_connections: Count | None
    is_knee: bool = False


type Cells = Annotated[list[Annotated[str, Field(max_length=300)]], Field(max_length=20)]


class ResultsTable(Frozen):
    """What the jobs of a hazard returned, a row a variant."""

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
        """Return whether a sweep has the pool's knee at so many slots."""
        return any(point.is_knee and point.slots == slots for point in (self.sweep or {}).get(pool, ()))


def outcome_between(pairs: list[Pair], base: str, other: str) -> VerdictOutcome:
    """Return how `other` is called against `base`, whichever way round the pair was compared."""
    turned: dict[VerdictOutcome, VerdictOutcome] = {FASTER: SLOWER, SLOWER: FASTER}
    for pair in pairs:
        if (pair.base, pair.other) == (base, other):
            return pair.outcome
        if (pair.base, pair.other) == (other, base):
            return turned.get(pair.outcome, pair.outcome)
    return CANNOT_TELL
