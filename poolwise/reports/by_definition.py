"""The definitions that ran lately: which are slow, which fail, and which pool each ran on."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from poolwise.models import JobState
from poolwise.reports.ended_jobs import EndedJob
from poolwise.support import Summary, summary


@dataclass(frozen=True, slots=True)
class DefinitionFigures:
    """One definition within a window, of the newest jobs that ended; `pools` counts those outside comparisons."""

    name: str
    done: int
    failed: int
    run: Summary
    pools: dict[str, int]

    @property
    def failure_rate(self) -> float:
        """Return the failed part of what was done."""
        return self.failed / self.done


def by_definition(rows_of: dict[str, Sequence[EndedJob]]) -> tuple[DefinitionFigures, ...]:
    """Return the definitions of the rows, which come by pool; the most used first."""
    found: dict[str, list[EndedJob]] = {}
    uses: dict[str, Counter[str]] = {}
    for pool, rows in rows_of.items():
        for row in rows:
            found.setdefault(row.definition, []).append(row)
            if row.batch_id is None:  # a comparison puts a definition on a pool that it may not belong on
                uses.setdefault(row.definition, Counter())[pool] += 1
    figures = (_figures(name, rows, uses.get(name, Counter())) for name, rows in found.items())
    return tuple(sorted(figures, key=lambda one: (-one.done, one.name)))


def _figures(name: str, rows: Sequence[EndedJob], pools: Counter[str]) -> DefinitionFigures:
    failed = sum(row.state == JobState.FAILED for row in rows)
    return DefinitionFigures(name, len(rows), failed, summary(row.run_s for row in rows), dict(pools))


def slowest(found: Iterable[DefinitionFigures], limit: int) -> list[DefinitionFigures]:
    """Return the definitions with the longest median run."""
    measured = (one for one in found if one.run.p50 is not None)
    return sorted(measured, key=lambda one: -(one.run.p50 or 0.0))[:limit]


def most_failing(found: Iterable[DefinitionFigures], limit: int) -> list[DefinitionFigures]:
    """Return the definitions with the most failed jobs; those without any are not listed."""
    return sorted((one for one in found if one.failed), key=lambda one: (-one.failed, one.name))[:limit]
