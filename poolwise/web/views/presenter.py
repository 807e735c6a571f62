"""A comparison's report as its page shows it: texts, tables, and the environment."""

from collections.abc import Sequence
from typing import Any

from poolwise.lab import MIN_STALL_S, BatchFigures, Report, Standing, VariantFigures, charts, handout
from poolwise.lab import report as lab_report
from poolwise.models import Comparison
from poolwise.support import percent, seconds, times, times_range


def context_of(comparison: Comparison) -> dict[str, Any]:
    """Return the context of an ended comparison's page; without a report only the raw figures."""
    report = lab_report.load(comparison)
    if report is None:
        return {"table": handout.figures_table(lab_report.figures(comparison), comparison.vary)}
    return {
        "report": report,
        "validity": validity_of(report),
        "charts": charts.charts(report, lab_report.samples(comparison)),
        "environment": handout.environment_lines(report.environment or comparison.environment),
        "table": handout.figures_table(report.pools, comparison.vary),
        "batches": batch_table(report.pools, comparison.vary),
        "stalls": stalls_of(comparison, report),
        "standings": standing_rows(report),
        "pairs": pair_table(report),
        "lesson": report.lesson or lab_report.lesson_and_results(comparison)[0],
    }


def validity_of(report: Report) -> dict[str, Any]:
    """Return the checks, failed ones first."""
    checks = sorted(report.validity.checks, key=lambda check: (check.passed, not check.matters))
    return {
        "checks": checks,
        "passed": sum(check.passed for check in checks),
        "all_passed": all(check.passed for check in checks),
    }


def stalls_of(comparison: Comparison, report: Report) -> list[dict[str, Any]]:
    """Return the longest stall of each pool with the job that caused it; the jobs of an imported bundle are not here."""
    if comparison.imported_at is not None:
        return []
    stalls = [(pool.name, pool.stall) for pool in report.pools if pool.stall]
    return [
        {"pool": name, "took": seconds(stall.max_s), "job": stall.caused_by}
        for name, stall in stalls
        if stall.caused_by and stall.max_s >= MIN_STALL_S
    ]


def standing_rows(report: Report) -> list[dict[str, str]]:
    """Return where each variant stands: its role, how many times as long it takes as the fastest, and the interval."""
    return [
        {
            "name": standing.name,
            "role": standing.role,
            "label": standing.label,
            "times": ""
            if standing.role in ("best", "not measured")
            else f"{times(standing.ratio)} as long as {standing.against}",
            "interval": times_range(standing.low, standing.high)
            if standing.role in ("candidate", "out")
            else "",
            "net": _net(standing),
            "reason": standing.reason,
        }
        for standing in report.answer.standings
    ]


def _net(standing: Standing) -> str:
    """Return the ratio without the calibrated overhead of each pool, with its interval; empty without a calibration."""
    if standing.net_ratio is None:
        return ""
    return f"{times(standing.net_ratio)} net of overhead ({times_range(standing.net_low, standing.net_high)})"


def pair_table(report: Report) -> dict[str, Any]:
    """Return the outcome of every pair as a table."""
    kind = _compared(report.vary).lower()
    rows = [
        [
            pair.other,
            pair.base,
            pair.outcome,
            times(pair.ratio),
            times_range(pair.low, pair.high),
            pair.reason,
        ]
        for pair in report.pairs
    ]
    return {
        "head": [kind.capitalize(), f"Against {kind}", "Outcome", "Times as fast", "95 % interval", "Remark"],
        "rows": rows,
    }


def _speed(jobs_per_s: float | None) -> str:
    return "–" if jobs_per_s is None else f"{jobs_per_s:.1f}"


def _compared(vary: object) -> str:
    return "Variant" if vary else "Pool"


def batch_table(pools: Sequence[VariantFigures], vary: object = None) -> dict[str, Any]:
    """Return the figures of each batch as a table."""
    head = [_compared(vary), "Batch", "Makespan", "Ideal", "Efficiency", "Jobs/s", "Failed", "Peak at once", "Mean at once",
            "CPU of the pool", "Remark"]  # fmt: skip
    return {"head": head, "rows": [_batch(pool.name, batch) for pool in pools for batch in pool.batches]}


def _batch(pool: str, batch: BatchFigures) -> list[str]:
    name = f"round {batch.round}" if batch.role == "measured" else batch.role
    return [
        pool, name, seconds(batch.makespan_s), seconds(batch.ideal_makespan_s), percent(batch.efficiency),
        _speed(batch.jobs_per_s), f"{batch.failed:,}", str(batch.concurrency.peak), f"{batch.concurrency.mean:.1f}",
        seconds(batch.cpu_s_pool), batch.void_reason,
    ]  # fmt: skip
