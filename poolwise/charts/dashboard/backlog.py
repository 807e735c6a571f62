"""The load of the pools: backlog, service time and throughput on one time axis."""

from typing import Any

import altair as alt

from poolwise.charts.common import (
    COLOURS,
    DASHES,
    Spec,
    cycle,
    data,
    duration_axis,
    duration_scale,
    finished_spec,
    time_axis,
    time_tooltip,
)
from poolwise.reports import Dashboard, PoolPoint

_HEIGHT = 140


def pool_load(figures: Dashboard) -> Spec:
    """Return the chart of each pool's backlog, service time and throughput."""
    rows = [_record(point) for point in figures.points]
    base = alt.Chart(data(rows)).encode(color=_pools(figures), strokeDash=_dashes(figures))
    runs = [point.run_p50_s for point in figures.points]
    panels = (
        ("Backlog", alt.Y("queued:Q", title="Jobs queued", scale=_counts(rows, "queued"))),
        ("Service time", alt.Y("run_p50_s:Q", title="Median run", scale=duration_scale(runs),
                               axis=duration_axis(runs))),
        ("Throughput", alt.Y("per_minute:Q", title="Jobs per minute", scale=_counts(rows, "per_minute"))),
    )  # fmt: skip
    last = panels[-1][0]
    charts = [
        {
            "layer": _layers(
                base.encode(x=time_axis(figures, title="Time, UTC" if title == last else None)), y
            ),
            "title": title,
            "width": 600,
            "height": _HEIGHT,
        }
        for title, y in panels
    ]
    return finished_spec({"vconcat": charts, "spacing": 16, "resolve": {"scale": {"x": "shared"}}})


def _record(point: PoolPoint) -> dict[str, Any]:
    return {
        "at": point.at.isoformat(),
        "pool": point.pool,
        "queued": None if point.queued is None else round(point.queued, 2),
        "queued_max": point.queued_max,
        "run_p50_s": point.run_p50_s,
        "per_minute": None if point.per_minute is None else round(point.per_minute, 3),
    }


def _counts(rows: list[dict[str, Any]], field: str) -> alt.Scale:
    """Return a scale from 0 to at least 1: where all values are 0, Vega puts 0 in the middle."""
    return alt.Scale(
        nice=True, domain=[0, max([1.0, *(row[field] for row in rows if row[field] is not None)])]
    )


def _names(figures: Dashboard) -> list[str]:
    return [pool.name for pool in figures.pools]


def _pools(figures: Dashboard) -> alt.Color:
    names = _names(figures)
    scale = alt.Scale(domain=names, range=cycle(COLOURS, len(names)))
    legend = alt.Legend(orient="top", direction="horizontal", symbolType="stroke", symbolSize=260, columns=4)
    return alt.Color("pool:N", title="Pool", scale=scale, legend=legend)


def _dashes(figures: Dashboard) -> alt.StrokeDash:
    names = _names(figures)
    return alt.StrokeDash(
        "pool:N", title="Pool", scale=alt.Scale(domain=names, range=cycle(DASHES, len(names)))
    )


def _layers(base: alt.Chart, y: alt.Y) -> list[alt.Chart]:
    tooltip = [
        alt.Tooltip("pool:N", title="Pool"),
        time_tooltip(),
        alt.Tooltip("queued:Q", title="Queued, mean", format=".1f"),
        alt.Tooltip("queued_max:Q", title="Queued, most"),
        alt.Tooltip("run_p50_s:Q", title="Median run, s", format=".3~g"),
        alt.Tooltip("per_minute:Q", title="Jobs per minute", format=".3~g"),
    ]
    lines = base.mark_line(strokeWidth=2).encode(y=y)
    # Visible points show buckets between empty ones; larger invisible ones are the pointer's targets.
    points = base.mark_circle(size=14, opacity=1).encode(y=y)
    targets = base.mark_circle(size=220, opacity=0).encode(y=y, tooltip=tooltip)
    return [lines, points, targets]
