"""What a job that does nothing costs, beside this job."""

from typing import Any

import altair as alt

from jobs.comparison_charts.common import (
    LINE,
    Evidence,
    Samples,
    Spec,
    Table,
    data,
    duration_axis,
    duration_scale,
    finished_spec,
    pool_rows,
    top_legend,
)
from jobs.formats import percent, seconds

_KINDS = {"No-op job": "#808080", "Median run of this job": "#0a84c6"}


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
    shown_s = [row["s"] for row in rows]
    x = alt.X("s:Q", axis=duration_axis("Duration", shown_s), scale=duration_scale(shown_s))
    base = alt.Chart(data(rows)).encode(y=pool_rows(sorted(pairs, key=lambda name: pairs[name][0])), x=x)
    scale = alt.Scale(domain=list(_KINDS), range=list(_KINDS.values()))
    points = base.mark_point(filled=True, size=170, opacity=1).encode(
        color=alt.Color("what:N", title="Time of", scale=scale, legend=top_legend(symbolOpacity=1)),
        shape=alt.Shape("what:N", title="Time of", scale=alt.Scale(domain=list(_KINDS), range=["square", "circle"])),
        tooltip=[alt.Tooltip("pool:N", title="Pool"), alt.Tooltip("what:N", title="Time of"),
                 alt.Tooltip("s:Q", title="Seconds", format=".3~g")],
    )  # fmt: skip
    gap = base.mark_line(strokeWidth=3, opacity=0.35, color="#808080").encode(detail="pool:N")
    return finished_spec(alt.layer(gap, points).properties(height=LINE * len(pairs)))


def rows_of_overhead(evidence: Evidence, samples: Samples) -> Table | None:
    """Return the overhead of each pool beside the run, or None when it was not calibrated."""
    rows = [
        [name, seconds(overhead), seconds(run), percent(overhead / run) if run else "–"]
        for name, (overhead, run) in _pairs(evidence).items()
    ]
    return (["Pool", "No-op job", "Median run", "Overhead ÷ run"], rows) if rows else None
