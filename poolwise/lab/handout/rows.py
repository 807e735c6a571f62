"""What the HTML file and the Markdown summary both show: a row per variant, failed checks, and what was run."""

from dataclasses import dataclass

from poolwise.lab.answer.kinds import memory_per_slot_bytes
from poolwise.lab.report import Report, ValidityCheck, VariantFigures
from poolwise.lab.report.model import Answer, Standing
from poolwise.models import Comparison
from poolwise.support import megabytes, rate, times, times_range

NOT_KNOWN = "–"


@dataclass(frozen=True, slots=True)
class VariantRow:
    """A variant beside the others, as texts; `time` is its time per job over that of the fastest one."""

    name: str
    is_recommended: bool
    role: str
    time: str
    interval: str
    net: str
    jobs_per_s: str
    slots: str
    memory_per_slot: str
    reason: str


def variant_rows(report: Report) -> list[VariantRow]:
    """Return a row per variant in the order of the answer, then those that it does not name."""
    order = {standing.name: place for place, standing in enumerate(report.answer.standings)}
    pools = sorted(report.pools, key=lambda pool: order.get(pool.name, len(order)))
    return [_row(pool, report.answer) for pool in pools]


def _row(pool: VariantFigures, answer: Answer) -> VariantRow:
    standing = answer.standing(pool.name) or Standing(name=pool.name, role="not measured")
    size_bytes = memory_per_slot_bytes(pool)
    return VariantRow(
        name=pool.name,
        is_recommended=pool.name == answer.pool,
        role=standing.label,
        time=times(standing.of_fastest),
        interval=_interval_of(standing, answer),
        net=times(standing.net_ratio),
        jobs_per_s=NOT_KNOWN if pool.jobs_per_s is None else rate(pool.jobs_per_s),
        slots=str(pool.slots or NOT_KNOWN),
        memory_per_slot=NOT_KNOWN if size_bytes is None else megabytes(size_bytes),
        reason=standing.reason,
    )


def _interval_of(standing: Standing, answer: Answer) -> str:
    """Return the interval, and against which variant it is, if that is not the fastest."""
    shown = interval(standing.low, standing.high)
    is_against_fastest = standing.against in ("", *answer.candidates[:1])
    return shown if is_against_fastest or shown == NOT_KNOWN else f"{shown} of {standing.against}"


def interval(low: float | None, high: float | None) -> str:
    """Return an interval of ratios, or a dash where it is not known or has no width."""
    return (times_range(low, high) if low != high else "") or NOT_KNOWN


def failed_checks(report: Report) -> list[ValidityCheck]:
    """Return the checks that failed, first those that withhold something."""
    failed = (check for check in report.validity.checks if not check.passed)
    return sorted(failed, key=lambda check: not check.matters)


def effect_of(check: ValidityCheck) -> str:
    """Return what a failed check takes away, and from which variants."""
    effect = "takes away the result" if check.matters else "a warning"
    return f"{effect} of {', '.join(check.pools)}" if check.pools and check.matters else effect


def setup(comparison: Comparison, report: Report) -> str:
    """Return what was run, on one line."""
    each = "" if comparison.budget_s else " per variant" if report.vary else " per pool"
    parts = [
        f"{comparison.size}{each}",
        f"at most {comparison.in_flight:,} in flight" if comparison.in_flight else "",
        f"{comparison.arrival_rate_per_s:g} arrivals per second" if comparison.arrival_rate_per_s else "",
        f"seed {comparison.seed}",
    ]
    return " · ".join(filter(None, parts))
