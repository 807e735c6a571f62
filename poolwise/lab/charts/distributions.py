"""Distributions of waits and of runs, as empirical cumulative curves in two panels."""

from collections.abc import Sequence
from typing import Any

import altair as alt

from poolwise.charts import common
from poolwise.lab.charts.common import (
    HEIGHT,
    ChartTable,
    Samples,
    Spec,
    duration_axis,
    duration_scale,
    measured,
    names_of,
    pool_colour,
    pool_dash,
)
from poolwise.lab.report import Report
from poolwise.support import seconds, summary

#: Points of a curve; more would not be visible.
_POINTS = 160
#: The resolution of the clock; a logarithmic axis has no zero.
_LEAST_S = 1e-5
_TITLES = {"wait_s": "Wait, published to started", "run_s": "Run, started to finished"}


def values_of(field: str, report: Report, samples: Samples) -> dict[str, list[float]]:
    """Return each pool's waits or runs in seconds, sorted."""
    values_by_pool: dict[str, list[float]] = {name: [] for name in names_of(report)}
    for job in measured(report, samples):
        value_s = job.wait_s if field == "wait_s" else job.run_s
        if value_s is not None and job.pool in values_by_pool:
            values_by_pool[job.pool].append(max(_LEAST_S, value_s))
    return {name: sorted(values) for name, values in values_by_pool.items() if values}


def _curve(pool: str, field: str, values: Sequence[float]) -> list[dict[str, Any]]:
    """Return a curve from 0 to 1 through about _POINTS of the values."""
    count = len(values)
    ranks = sorted(
        {round(step * (count - 1) / min(_POINTS, count)) for step in range(min(_POINTS, count) + 1)}
    )
    points = [
        {"pool": pool, field: float(f"{values[rank]:.4g}"), "share": round((rank + 1) / count, 4)}
        for rank in ranks
    ]
    return [{**points[0], "share": 0.0}, *points]


def draw_distributions(report: Report, samples: Samples) -> Spec:
    """Return two panels, waits and runs: the share of jobs up to each duration."""
    panels = [_panel(field, report, samples) for field in _TITLES]
    return common.finished_spec({"concat": panels, "columns": 2, "spacing": 30})


def _panel(field: str, report: Report, samples: Samples) -> Spec:
    by_pool, title = values_of(field, report, samples), _TITLES[field]
    points = [point for pool, values in by_pool.items() for point in _curve(pool, field, values)]
    shown_s = [point[field] for point in points]
    x = alt.X(
        f"{field}:Q", scale=duration_scale(shown_s, from_zero=False), axis=duration_axis(title, shown_s)
    )
    axis = alt.Axis(title="Share of jobs", format=".0%", tickCount=4)
    y = alt.Y("share:Q", scale=alt.Scale(domain=[0, 1]), axis=axis)
    base = alt.Chart(common.data(points)).encode(x=x, y=y, color=pool_colour(report))
    tips = [alt.Tooltip("pool:N", title="Pool"), alt.Tooltip(f"{field}:Q", title=f"{title}, s", format=".3~g"),
            alt.Tooltip("share:Q", title="Share of jobs", format=".0%")]  # fmt: skip
    lines = base.mark_line(interpolate="step-after", strokeWidth=2.4).encode(
        strokeDash=pool_dash(report), order="share:Q"
    )
    targets = base.mark_circle(size=160, opacity=0).encode(tooltip=tips)
    return {"layer": [lines, targets], "height": HEIGHT, "width": 400}


def rows_of_distributions(report: Report, samples: Samples) -> ChartTable | None:
    """Return waits and runs in percentiles; p99 needs 100 jobs."""
    rows = []
    for field, name in (("wait_s", "Wait"), ("run_s", "Run")):
        for pool, values in values_of(field, report, samples).items():
            sums = summary(values)
            figures = (sums.minimum, sums.p50, sums.p95, sums.p99, sums.maximum)
            rows.append([pool, name, f"{sums.n:,}", *map(seconds, figures)])
    return (["Pool", "Of", "Jobs", "Least", "p50", "p95", "p99", "Most"], rows) if rows else None
