"""The report of a comparison: the one model that is built, stored, shown, and read from a bundle. docs/report.md.

Durations are seconds; None: not measured.
"""

from typing import Annotated, Final, Literal, Self

from pydantic import Field

from poolwise.lab.report.figures import VariantFigures
from poolwise.support import (
    MAX_COMPARED,
    Count,
    Frozen,
    Json,
    Name,
    Number,
    Ratio,
    Seconds,
    ShortText,
    Text,
    Values,
    VariantName,
)

VERSION: Literal[1] = 1


type Outcome = Literal["faster", "slower", "equally fast", "cannot tell"]
FASTER: Final = "faster"
SLOWER: Final = "slower"
EQUALLY_FAST: Final = "equally fast"
CANNOT_TELL: Final = "cannot tell"


class Pair(Frozen):
    """The outcome of `other` compared with `base`; a ratio above 1: `other` is that many times as fast.

    `low` and `high` are simultaneous 95 % bounds over all pairs with the fastest variant.
    """

    base: VariantName
    other: VariantName
    outcome: Outcome
    ratio: Ratio | None = None
    low: Ratio | None = None
    high: Ratio | None = None
    rounds: Count = 0
    reason: Text = ""


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
        """Return whether a failure takes away an answer."""
        return self.matters and not self.passed


class Validity(Frozen):
    """The validity checks; `valid`: no failure takes away an answer."""

    valid: bool
    checks: Annotated[list[ValidityCheck], Field(max_length=100)]

    @classmethod
    def of(cls, checks: list[ValidityCheck]) -> Self:
        """Summarise checks."""
        return cls(valid=not any(check.withholds for check in checks), checks=checks)


_ROLE_LABELS = {
    "best": "fastest",
    "candidate": "may be the fastest",
    "out": "slower",
    "not measured": "not measured",
}


class Standing(Frozen):
    """Where a variant stands: how many times as long its jobs take as on `against`, with simultaneous 95 % bounds.

    `against` is the fastest variant, or for one that is out, the one that it is most clearly slower than; `of_fastest` is
    the ratio to the fastest without bounds. `net_ratio` has the calibrated overhead of each pool taken out. `reason`: why
    it was not measured.
    """

    name: VariantName
    role: Literal["best", "candidate", "out", "not measured"]
    against: Annotated[str, Field(max_length=300)] = ""
    ratio: Ratio | None = None
    low: Ratio | None = None
    high: Ratio | None = None
    of_fastest: Ratio | None = None
    net_ratio: Ratio | None = None
    net_low: Ratio | None = None
    net_high: Ratio | None = None
    reason: Text = ""

    @property
    def label(self) -> str:
        """Return the role in words."""
        return _ROLE_LABELS[self.role]


class Answer(Frozen):
    """Which variant fits the job: the decision that page, command, API, `auto` and the dashboard speak from.

    `settled`: one variant is left, or those left are equally fast within the margin; `open`: more rounds would settle
    it; `none`: nothing can be said, `text` says why and `next_step` what to do. `pool` is the recommended variant, also of
    an open answer; empty without an answer. `within`: by how much the candidates differ at most, as a share.
    """

    state: Literal["settled", "open", "none"]
    text: Text
    pool: Annotated[str, Field(max_length=300)] = ""
    slots: Count | None = None
    tie_reason: Text = ""
    next_step: Text = ""
    why: Text = ""
    would_change: Text = ""
    margin: Number = 0.05
    within: Number | None = None
    rounds: Count = 0
    standings: Annotated[list[Standing], Field(max_length=MAX_COMPARED)] = []

    @property
    def candidates(self) -> list[str]:
        """Return the variants that may be the fastest, the fastest first."""
        return [standing.name for standing in self.standings if standing.role in ("best", "candidate")]

    def standing(self, name: str) -> Standing | None:
        """Return where a variant stands; None if it was not compared."""
        return next((standing for standing in self.standings if standing.name == name), None)


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
    answer: Answer
    metric: Text
    baseline: Annotated[str, Field(max_length=300)]
    vary: dict[Name, Values] | None = None
    pairs: Annotated[list[Pair], Field(max_length=MAX_COMPARED**2)]
    pools: Annotated[list[VariantFigures], Field(max_length=MAX_COMPARED)]
    validity: Validity
    environment: Json
    sweep: dict[VariantName, Annotated[list[SweepPoint], Field(max_length=100)]] | None = None
    lesson: Text = ""
    results_table: ResultsTable | None = None
    starts: Annotated[int, Field(ge=1)] = 1
    """How many starts of its workers the answer's pools ran on: rounds of one start share its peculiarities."""
