"""Compare a comparison with an earlier one of the same jobs, pool by pool: did a pool become slower?"""

from collections.abc import Sequence
from dataclasses import dataclass

from poolwise.lab import statistics
from poolwise.lab.report import Report
from poolwise.lab.statistics import CANNOT_TELL, NO_DIFFERENCE, SLOWER, Verdict
from poolwise.lab.validity import checks
from poolwise.support import percent

#: What must be alike for the seconds of two comparisons to be comparable, and how each is called.
_HARDWARE = {"cpu_model": "processor", "cores": "cores", "cpu_quota": "CPU quota"}

type Rounds = list[list[float]]


@dataclass(frozen=True, slots=True)
class Change:
    """What became of one pool; `is_regression` when it is slower by more than is allowed, beyond noise."""

    pool: str
    verdict: Verdict
    is_regression: bool

    @property
    def text(self) -> str:
        """Return the change as a sentence without a full stop."""
        verdict = self.verdict
        if verdict.outcome == CANNOT_TELL or not verdict.ratio:
            return f"{self.pool}: cannot tell, {verdict.reason.rstrip('.')}"
        if verdict.outcome == NO_DIFFERENCE:
            return f"{self.pool}: no difference detected ({_by(verdict)})"
        return f"{self.pool}: {verdict.outcome} than the bundle ({_by(verdict)})"


def _by(verdict: Verdict) -> str:
    """Return by how much longer a job takes, with the interval."""
    longer, most, least = (
        1 / value - 1 if value else 0.0 for value in (verdict.ratio, verdict.low, verdict.high)
    )
    interval = f", 95 % CI {least * 100:+.0f} to {most * 100:+.0f} %" if verdict.low and verdict.high else ""
    return f"time per job {longer * 100:+.1f} %{interval}"


def changes(before: Report, after: Report, *, max_regression: float, seed: int = 0) -> list[Change]:
    """Return what became of each pool that both reports have; `max_regression` 0.1 allows 10 % more time a job."""
    old, new = rounds_of(before), rounds_of(after)
    found = []
    for pool in (name for name in old if name in new):
        verdict = statistics.compare(old[pool], new[pool], seed=seed)
        if reason := objection(before, after, pool):
            verdict = Verdict(outcome=CANNOT_TELL, reason=reason)
        is_slower = verdict.outcome == SLOWER and 1 / (verdict.ratio or 1) - 1 > max_regression
        found.append(Change(pool, verdict, is_slower))
    return found


def rounds_of(report: Report) -> dict[str, Rounds]:
    """Return each pool's time per job in seconds, a list a round."""
    return {
        pool.name: [statistics.time_per_job(batch.makespan_s, batch.jobs) for batch in pool.counted]
        for pool in report.pools
    }


def objection(before: Report, after: Report, pool: str) -> str:
    """Return why the two say nothing of a pool together, or ""."""
    for key, name in _HARDWARE.items():
        old, new = before.environment.get(key), after.environment.get(key)
        if old != new:
            return f"the machines differ: {name} {old or 'unknown'} then, {new or 'unknown'} now"
    slots = [next((one.slots for one in side.pools if one.name == pool), None) for side in (before, after)]
    if slots[0] != slots[1]:
        return f"the pool had {slots[0]} slots then and has {slots[1]} now"
    reasons = ((_spoiling(before, pool), "then"), (_spoiling(after, pool), "now"))
    return next((f"{reason} ({when})" for reason, when in reasons if reason), "")


def _spoiling(report: Report, pool: str) -> str:
    # The spread between rounds is considered by the verdict on the one pool.
    return checks.objection((check for check in report.validity.checks if check.id != "spread"), pool)


def summary(found: Sequence[Change], max_regression: float) -> str:
    """Return the outcome of a check in one sentence."""
    slower = [change.pool for change in found if change.is_regression]
    if slower:
        return f"Slower by more than {percent(max_regression)}: {', '.join(slower)}."
    if all(change.verdict.outcome == CANNOT_TELL for change in found):
        return "The check could tell nothing."
    return f"No pool is slower by more than {percent(max_regression)}."
