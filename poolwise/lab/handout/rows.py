"""What the HTML file and the Markdown summary both show: a row per variant, failed checks, and what was run."""

from dataclasses import dataclass

from poolwise.lab.advice.kinds import memory_per_slot_bytes
from poolwise.lab.report import Report, ValidityCheck, VariantFigures
from poolwise.lab.report.model import Answer, Standing
from poolwise.models import Comparison
from poolwise.support import count, rate, times

_MB = 1_000_000
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
        role=_role(standing, answer),
        time=times(standing.ratio),
        interval=interval(standing.low, standing.high),
        net=times(standing.net_ratio),
        jobs_per_s=NOT_KNOWN if pool.jobs_per_s is None else rate(pool.jobs_per_s),
        slots=str(pool.slots or NOT_KNOWN),
        memory_per_slot=NOT_KNOWN if size_bytes is None else _megabytes(size_bytes),
        reason=standing.reason,
    )


def _role(standing: Standing, answer: Answer) -> str:
    """Return the role as a reader needs it: candidates of a settled answer are equally fast."""
    if standing.role in ("best", "candidate") and len(answer.candidates) > 1:
        return "equally fast" if answer.state == "settled" else "may be the fastest"
    return {"best": "fastest", "candidate": "fastest", "out": "slower"}.get(standing.role, standing.role)


def interval(low: float | None, high: float | None) -> str:
    """Return an interval of ratios, or a dash where it is not known or has no width."""
    return NOT_KNOWN if low is None or high is None or low == high else f"{times(low)} to {times(high)}"


def _megabytes(size_bytes: float) -> str:
    size = size_bytes / _MB
    return f"{size:.0f} MB" if size >= 10 else f"{size:.2g} MB"


def failed_checks(report: Report) -> list[ValidityCheck]:
    """Return the checks that failed, first those that withhold something."""
    failed = (check for check in report.validity.checks if not check.passed)
    return sorted(failed, key=lambda check: not check.matters)


def effect_of(check: ValidityCheck) -> str:
    """Return what a failed check takes away, and from which variants."""
    whose = f" of {', '.join(check.pools)}" if check.pools else ""
    return (
        f"takes away the result{whose}"
        if check.matters
        else f"a warning{' about' + whose[3:] if whose else ''}"
    )


def setup(comparison: Comparison, report: Report) -> str:
    """Return what was run, on one line."""
    compared = "variant" if report.vary else "pool"
    parts = [
        f"{count(comparison.rounds, 'round')} of {count(comparison.copies, 'job')} per {compared}",
        f"at most {comparison.in_flight:,} in flight" if comparison.in_flight else "",
        f"{comparison.arrival_rate_per_s:g} arrivals per second" if comparison.arrival_rate_per_s else "",
        f"seed {comparison.seed}",
    ]
    return " · ".join(filter(None, parts))
