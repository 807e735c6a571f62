"""Compare a comparison with an earlier one of the same jobs: did a pool become slower?"""

from collections.abc import Sequence
from dataclasses import dataclass

from poolwise.lab import statistics
from poolwise.lab.report import Report
from poolwise.lab.report import CANNOT_TELL, EQUALLY_FAST as NO_DIFFERENCE, SLOWER, Pair as Verdict
from poolwise.lab.validity import checks
from poolwise.support import percent

#: What must be the same for the times of two comparisons to be comparable, and its name in texts.
_HARDWARE = {"cpu_model": "processor", "cores": "cores", "cpu_quota": "CPU quota"}

type Rounds = list[list[float]]


@dataclass(frozen=True, slots=True)
class Change:
    """The change of one pool; `is_regression` when it is significantly slower, by more than is allowed."""

    pool: str
    verdict: Verdict
    is_regression: bool

    @property
    def text(self) -> str:
        """Return the change as a sentence without a full stop."""
        verdict = self.verdict
        if verdict.outcome == CANNOT_TELL or not verdict.ratio:
            return f"{self.pool}: cannot tell ({verdict.reason.rstrip('.')})"
        if verdict.outcome == NO_DIFFERENCE:
            return f"{self.pool}: no difference detected ({_by(verdict)})"
        return f"{self.pool}: {verdict.outcome} than the bundle ({_by(verdict)})"


def _by(verdict: Verdict) -> str:
    """Return the change of the time per job, with its interval."""
    longer, most, least = (
        1 / value - 1 if value else 0.0 for value in (verdict.ratio, verdict.low, verdict.high)
    )
    interval = f", 95 % CI {least * 100:+.0f} to {most * 100:+.0f} %" if verdict.low and verdict.high else ""
    return f"time per job {longer * 100:+.1f} %{interval}"


def changes(before: Report, after: Report, *, max_regression: float, seed: int = 0) -> list[Change]:
    """Return the change of each pool that both reports have; `max_regression` 0.1 allows 10 % more time per job."""
    old, new = rounds_of(before), rounds_of(after)
    by_pool = []
    for pool in (name for name in old if name in new):
        verdict = Verdict(
            base=pool, other=pool, outcome=CANNOT_TELL, reason="two sessions are not compared yet"
        )
        if reason := objection(before, after, pool):
            verdict = Verdict(base=pool, other=pool, outcome=CANNOT_TELL, reason=reason)
        is_slower = verdict.outcome == SLOWER and 1 / (verdict.ratio or 1) - 1 > max_regression
        by_pool.append(Change(pool, verdict, is_slower))
    return by_pool


def rounds_of(report: Report) -> dict[str, Rounds]:
    """Return each pool's times per job in seconds, one list per round."""
    return {
        pool.name: [statistics.time_per_job(batch.makespan_s, batch.jobs) for batch in pool.counted]
        for pool in report.pools
    }


def objection(before: Report, after: Report, pool: str) -> str:
    """Return why the two cannot be compared for a pool, or ""."""
    for key, name in _HARDWARE.items():
        old, new = before.environment.get(key), after.environment.get(key)
        if old != new:
            return f"different machine: {name} was {old or 'unknown'}, is now {new or 'unknown'}"
    slots = [
        next((variant.slots for variant in side.pools if variant.name == pool), None)
        for side in (before, after)
    ]
    if slots[0] != slots[1]:
        return f"slots were {slots[0]}, are now {slots[1]}"
    reasons = ((_failed_check(before, pool), "then"), (_failed_check(after, pool), "now"))
    return next((f"{reason} ({when})" for reason, when in reasons if reason), "")


def _failed_check(report: Report, pool: str) -> str:
    # The verdict already takes the spread between rounds into account.
    return checks.objection((check for check in report.validity.checks if check.id != "spread"), pool)


def summary(by_pool: Sequence[Change], max_regression: float) -> str:
    """Return the outcome of a check in one sentence."""
    slower = [change.pool for change in by_pool if change.is_regression]
    if slower:
        return f"Slower by more than {percent(max_regression)}: {', '.join(slower)}."
    if all(change.verdict.outcome == CANNOT_TELL for change in by_pool):
        return "The check has no result for any pool."
    return f"No pool is slower by more than {percent(max_regression)}."
