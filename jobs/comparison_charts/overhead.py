"""What a job that does nothing costs, beside this job."""

from typing import Any

from jobs.comparison_charts.common import Evidence, Samples, Spec, Table
from jobs.comparison_charts.dots import Dot, dots
from jobs.formats import percent, seconds

_KINDS = {
    "No-op job": Dot("#808080", "square", size=170),
    "Median run of this job": Dot("#0a84c6", "circle", size=170),
}


def _pairs(evidence: Evidence) -> dict[str, tuple[float, float | None]]:
    return {
        pool["name"]: (pool["overhead_s"], (pool.get("run_s") or {}).get("p50"))
        for pool in evidence.get("pools", ())
        if pool.get("overhead_s") is not None
    }


def draw_overhead(evidence: Evidence, samples: Samples) -> Spec:
    """Return both durations of each pool on one axis."""
    pairs = _pairs(evidence)
    rows: list[dict[str, Any]] = [
        {"pool": name, "what": what, "s": value}
        for name, pair in pairs.items()
        for what, value in zip(_KINDS, pair, strict=True)
        if value
    ]
    order = sorted(pairs, key=lambda name: pairs[name][0])
    return dots(rows, _KINDS, order=order, joined=list(_KINDS), axis="Duration", legend="Time of")


def rows_of_overhead(evidence: Evidence, samples: Samples) -> Table | None:
    """Return the overhead of each pool beside the run, or None when it was not calibrated."""
    rows = [
        [name, seconds(overhead), seconds(run), percent(overhead / run) if run else "–"]
        for name, (overhead, run) in _pairs(evidence).items()
    ]
    return (["Pool", "No-op job", "Median run", "Overhead ÷ run"], rows) if rows else None
