"""The definitions of recently ended jobs: which are slow, which fail, and which pools they ran on."""

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
    ended: dict[str, list[EndedJob]] = {}
    uses: dict[str, Counter[str]] = {}
    for pool, rows in rows_of.items():
        for row in rows:
            ended.setdefault(row.definition, []).append(row)
            if row.batch_id is None:  # comparisons run a definition on every pool
                uses.setdefault(row.definition, Counter())[pool] += 1
    figures = (_figures(name, rows, uses.get(name, Counter())) for name, rows in ended.items())
    return tuple(sorted(figures, key=lambda row: (-row.done, row.name)))


def _figures(name: str, rows: Sequence[EndedJob], pools: Counter[str]) -> DefinitionFigures:
    failed = sum(row.state == JobState.FAILED for row in rows)
    return DefinitionFigures(name, len(rows), failed, summary(row.run_s for row in rows), dict(pools))


def slowest(definitions: Iterable[DefinitionFigures], limit: int) -> list[DefinitionFigures]:
    """Return the definitions with the longest median run."""
    measured = (row for row in definitions if row.run.p50 is not None)
    return sorted(measured, key=lambda row: -(row.run.p50 or 0.0))[:limit]


def most_failing(definitions: Iterable[DefinitionFigures], limit: int) -> list[DefinitionFigures]:
    """Return the definitions with the most failed jobs; those without any are not listed."""
    return sorted((row for row in definitions if row.failed), key=lambda row: (-row.failed, row.name))[:limit]
