"""Compare a comparison with an earlier one of the same jobs, pool by pool: did a pool become slower?"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jobs import verdicts
from jobs.formats import percent
from jobs.verdicts import CANNOT_TELL, NO_DIFFERENCE, SLOWER, Verdict

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
        if verdict.word == CANNOT_TELL or not verdict.ratio:
            return f"{self.pool}: cannot tell, {verdict.reason.rstrip('.')}"
        if verdict.word == NO_DIFFERENCE:
            return f"{self.pool}: no difference detected ({_by(verdict)})"
        return f"{self.pool}: {verdict.word} than the bundle ({_by(verdict)})"


def _by(verdict: Verdict) -> str:
    """Return by how much longer a job takes, with the interval."""
    longer, most, least = (
        1 / value - 1 if value else 0.0 for value in (verdict.ratio, verdict.low, verdict.high)
    )
    interval = f", 95 % CI {least * 100:+.0f} to {most * 100:+.0f} %" if verdict.low and verdict.high else ""
    return f"time per job {longer * 100:+.1f} %{interval}"


def changes(
    before: Mapping[str, Any], after: Mapping[str, Any], *, max_regression: float, seed: int = 0
) -> list[Change]:
    """Return what became of each pool that both evidences have; `max_regression` 0.1 allows 10 % more time a job."""
    old, new = rounds_of(before), rounds_of(after)
    found = []
    for pool in old:
        if pool in new:
            verdict = verdicts.compare(old[pool], new[pool], seed=seed)
            if reason := objection(before, after, pool):
                verdict = Verdict(CANNOT_TELL, reason=reason)
            is_slower = (
                verdict.word == SLOWER
                and bool(verdict.ratio)
                and 1 / (verdict.ratio or 1) - 1 > max_regression
            )
            found.append(Change(pool, verdict, is_slower))
    return found


def rounds_of(evidence: Mapping[str, Any]) -> dict[str, Rounds]:
    """Return each pool's time per job in seconds, a list a round; of a sweep at the most slots."""
    found = {}
    for pool in evidence["pools"]:
        counted = [b for b in pool["blocks"] if b["role"] == "measured" and not b["void_reason"]]
        most = max((block["slots"] for block in counted), default=0)
        chosen = counted if not evidence.get("sweep") else [b for b in counted if b["slots"] == most]
        ordered = sorted(chosen, key=lambda block: int(block["round"]))
        found[pool["name"]] = [verdicts.time_per_job(b["makespan_s"], b["jobs"]) for b in ordered]
    return found


def objection(before: Mapping[str, Any], after: Mapping[str, Any], pool: str) -> str:
    """Return why the two say nothing of a pool together, or ""."""
    for key, name in _HARDWARE.items():
        old, new = before["environment"].get(key), after["environment"].get(key)
        if old != new:
            return f"the machines differ: {name} {old or 'unknown'} then, {new or 'unknown'} now"
    slots = [_slots(evidence, pool) for evidence in (before, after)]
    if slots[0] != slots[1]:
        return f"the pool had {slots[0]} slots then and has {slots[1]} now"
    reasons = [
        (_spoiling(before["gate"]["badges"], pool), "then"),
        (_spoiling(after["gate"]["badges"], pool), "now"),
    ]
    return next((f"{reason} ({when})" for reason, when in reasons if reason), "")


def _slots(evidence: Mapping[str, Any], pool: str) -> int | None:
    return next((found["slots"] for found in evidence["pools"] if found["name"] == pool), None)


def _spoiling(badges: Iterable[Mapping[str, Any]], pool: str) -> str:
    for badge in badges:
        is_failure = badge["matters"] and not badge["passed"]
        concerns = not badge["pools"] or pool in badge["pools"]
        # The spread between rounds is judged anew by the verdict on the one pool.
        if is_failure and concerns and badge["id"] != "spread":
            return str(badge["reason"])
    return ""


def summary(found: Sequence[Change], max_regression: float) -> str:
    """Return the outcome of a check in one sentence."""
    slower = [change.pool for change in found if change.is_regression]
    if slower:
        return f"Slower by more than {percent(max_regression)}: {', '.join(slower)}."
    if all(change.verdict.word == CANNOT_TELL for change in found):
        return "The check could tell nothing."
    return f"No pool is slower by more than {percent(max_regression)}."
