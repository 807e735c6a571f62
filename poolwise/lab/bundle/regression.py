"""Compare a comparison with an earlier one of the same jobs: did a pool become slower? docs/report.md."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from poolwise.lab.report import BatchFigures, Report, VariantFigures
from poolwise.lab.statistics import FEWEST_ROUNDS, sessions
from poolwise.lab.statistics.sessions import Round, SessionOutcome, SessionRatio
from poolwise.lab.validity import checks
from poolwise.support import percent

#: The allowance of the page before and after, and of a check without `--max-regression`.
ALLOWANCE = 0.10
#: What must be the same for the times of two comparisons to be comparable, and its name in texts.
_HARDWARE = {"cores": "cores", "cpu_quota": "CPU quota"}
#: Batches of sizes that differ by more are not comparable: a larger one fills the slots for a larger share of its time.
_SIZES_ALIKE = 1.1


@dataclass(frozen=True, slots=True)
class Change:
    """The change of one pool; `between` is None where `reason` says why nothing can be compared."""

    pool: str
    outcome: SessionOutcome
    between: SessionRatio | None
    reason: str = ""

    @property
    def is_regression(self) -> bool:
        """Return whether the pool is slower by more than is allowed, also by the lower bound."""
        return self.outcome == sessions.SLOWER

    @property
    def text(self) -> str:
        """Return the change as a sentence without a full stop."""
        figures = "" if self.between is None else f": {ratio_text(self.between)}"
        return f"{self.pool}: {self.outcome}{figures or f': {self.reason}'}"


def ratio_text(between: SessionRatio) -> str:
    """Return "1.03× as long as before (95 % bounds 0.98–1.08)"."""
    bounds = ""
    if between.low is not None and between.high is not None:
        bounds = f" (95 % bounds {_factor(between.low)}–{_factor(between.high)})"
    return f"{_factor(between.ratio)}× as long as before{bounds}"


def _factor(ratio: float) -> str:
    return f"{ratio:.2f}" if 0.1 <= ratio < 10 else f"{ratio:.2g}" if ratio < 0.1 else f"{ratio:,.0f}"


def changes(
    before: Report,
    after: Report,
    *,
    max_regression: float = ALLOWANCE,
    in_flight: int | None = None,
    same_design: bool = True,
) -> list[Change]:
    """Return the change of each pool that both reports have; `max_regression` 0.1 allows 10 % more time per job.

    `in_flight`: the most jobs in flight, if limited. `same_design`: whether other slots or sizes of batches are an
    objection, or what is compared.
    """
    old, new = rounds_of(before), rounds_of(after)
    if not is_same_yardstick(before.environment, after.environment):
        old, new = _without_yardstick(old), _without_yardstick(new)
    pools = [name for name in old if name in new]
    by_pool = []
    for pool in pools:
        reason = objection(before, after, pool, same_design=same_design) or _missing(old[pool], new[pool])
        if reason:
            by_pool.append(Change(pool, sessions.CANNOT_TELL, None, reason))
            continue
        between = sessions.session_ratio(
            old[pool],
            new[pool],
            alpha=sessions.ALPHA / len(pools),
            follows=(follows(before, pool, in_flight) + follows(after, pool, in_flight)) / 2,
            same_processor=is_same_processor(before.environment, after.environment),
        )
        by_pool.append(Change(pool, sessions.outcome(between, max_regression), between))
    return by_pool


def _missing(old: Sequence[Round], new: Sequence[Round]) -> str:
    if min(len(old), len(new)) >= FEWEST_ROUNDS:
        return ""
    return f"{len(old)} rounds then and {len(new)} now; {FEWEST_ROUNDS} each are the fewest"


def _without_yardstick(rounds: Mapping[str, Sequence[Round]]) -> dict[str, list[Round]]:
    return {pool: [Round(round_.time_s) for round_ in own] for pool, own in rounds.items()}


def rounds_of(report: Report) -> dict[str, list[Round]]:
    """Return each pool's rounds; the yardstick of a round is the median of those before its batches."""
    measured: dict[int, list[float]] = {}
    for pool in report.pools:
        for batch in pool.counted:
            if batch.yardstick_s:
                measured.setdefault(batch.round, []).append(batch.yardstick_s)
    yardsticks = {number: median(values) for number, values in measured.items()}
    return {
        pool.name: [
            Round(time_s, yardsticks.get(batch.round)) for batch in pool.counted if (time_s := _time_s(batch))
        ]
        for pool in report.pools
    }


def _time_s(batch: BatchFigures) -> float | None:
    """Return what the batch counts with, in seconds; by its makespan where an older report does not have it."""
    if batch.value_s is not None or not batch.makespan_s or not batch.jobs:
        return batch.value_s
    return batch.makespan_s / batch.jobs


def follows(report: Report, pool: str, in_flight: int | None = None) -> float:
    """Return the share of a pool's time per job that follows the machine's speed; the rest are waits of the jobs.

    The batch waits as many times as it fills its slots, each time as long as a job is blocked on average: beside many
    jobs on one busy loop a job's own wait is none of the batch. Half of what cannot be attributed counts as a wait.
    """
    figures = _figures(report, pool)
    if figures is None or not figures.jobs or not figures.counted:
        return 1.0
    time = figures.time
    waited_s = (time.blocked_s + time.unattributed_s / 2) / figures.jobs
    shares = [_waits(batch, waited_s, in_flight) for batch in figures.counted]
    return 1.0 - min(1.0, median(shares))


def _waits(batch: BatchFigures, waited_s: float, in_flight: int | None) -> float:
    """Return the share of the time that the batch counts with in which it waits for its jobs."""
    makespan_s, slots = batch.makespan_s or 0.0, batch.slots or 1
    if batch.value_s and not math.isclose(batch.value_s * batch.jobs, makespan_s, rel_tol=1e-6):
        return waited_s / batch.value_s  # jobs arrive at a rate: it is the time of one job
    return waited_s * math.ceil(batch.jobs / min(slots, in_flight or slots)) / makespan_s


def _figures(report: Report, pool: str) -> VariantFigures | None:
    return next((variant for variant in report.pools if variant.name == pool), None)


def objection(before: Report, after: Report, pool: str, *, same_design: bool = True) -> str:
    """Return why the two cannot be compared for a pool, or ""."""
    is_measured = has_yardstick(before) and has_yardstick(after)
    reasons = [
        hardware_fault(before.environment, after.environment, is_measured),
        _design_fault(before, after, pool) if same_design else "",
        _at("then", failed_check(before, pool)),
        _at("now", failed_check(after, pool)),
    ]
    return next(filter(None, reasons), "")


def _at(when: str, reason: str) -> str:
    return f"{reason.rstrip('.')} ({when})" if reason else ""


def hardware_fault(old: Mapping[str, Any], new: Mapping[str, Any], is_measured: bool) -> str:
    """Return how the machines differ beyond what a yardstick, if it is measured, takes out; or ""."""
    for key, name in _HARDWARE.items():
        if old.get(key) != new.get(key):
            return _differs(name, old.get(key), new.get(key))
    if is_same_processor(old, new) or (is_measured and is_same_yardstick(old, new)):
        return ""
    return f"{_differs('processor', old.get('cpu_model'), new.get('cpu_model'))}, without a yardstick in both"


def _differs(name: str, old: Any, new: Any) -> str:
    return f"different machine: {name} was {old or 'unknown'}, is now {new or 'unknown'}"


def is_same_processor(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Return whether two environments have the same model of processor."""
    return bool(old.get("cpu_model") == new.get("cpu_model"))


def is_same_yardstick(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Return whether the yardsticks of two environments are the same work: another Python runs it at another speed."""
    return bool(old.get("python") == new.get("python"))


def has_yardstick(report: Report) -> bool:
    """Return whether every round of the report has a yardstick."""
    rounds = [round_ for own in rounds_of(report).values() for round_ in own]
    return bool(rounds) and all(round_.yardstick_s for round_ in rounds)


def _design_fault(before: Report, after: Report, pool: str) -> str:
    old, new = _figures(before, pool), _figures(after, pool)
    if old is None or new is None or not old.counted or not new.counted:
        return ""
    if old.slots != new.slots:
        return f"slots were {old.slots}, are now {new.slots}"
    sizes = [median(batch.jobs for batch in side.counted) for side in (old, new)]
    if max(sizes) > _SIZES_ALIKE * min(sizes):
        return f"a batch had {sizes[0]:g} jobs, has now {sizes[1]:g}"
    return ""


def failed_check(report: Report, pool: str) -> str:
    """Return the reason of a validity check that withholds the figures of a pool, or ""."""
    # The bounds already take the spread between rounds into account.
    return checks.objection((check for check in report.validity.checks if check.id != "spread"), pool)


def summary(by_pool: Sequence[Change], max_regression: float) -> str:
    """Return the outcome of a check in at most three sentences."""
    allowed = percent(max_regression)
    if slower := [change.pool for change in by_pool if change.is_regression]:
        return f"Slower by more than {allowed}: {', '.join(slower)}."
    if all(change.between is None for change in by_pool):
        return "The check has no result for any pool."
    uncertain = [
        f"{change.pool} (up to {_factor(high)}×)"
        for change in by_pool
        if change.between and (high := change.between.high) and high > 1 + max_regression
    ]
    parts = [f"No pool is {'shown to be ' if uncertain else ''}slower by more than {allowed}."]
    parts += [f"More rounds would tell for {', '.join(uncertain)}."] if uncertain else []
    missing = [change.pool for change in by_pool if change.between is None]
    return " ".join(parts + ([f"No result for {', '.join(missing)}."] if missing else []))
