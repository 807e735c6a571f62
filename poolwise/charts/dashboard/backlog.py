"""The pool_load of the pools: backlog, service time and throughput on one axis of time."""

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


def pool_load(found: Dashboard) -> Spec:
    """Return the chart that pairs each pool's backlog with its service time, and with what came out."""
    rows = [_record(point) for point in found.points]
    base = alt.Chart(data(rows)).encode(color=_pools(found), strokeDash=_dashes(found))
    runs = [point.run_p50_s for point in found.points]
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
                base.encode(x=time_axis(found, title="Time, UTC" if title == last else None)), y
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
    """Return a scale from 0 to 1 at least: where all is 0, Vega would draw the axis through the middle."""
    return alt.Scale(
        nice=True, domain=[0, max([1.0, *(row[field] for row in rows if row[field] is not None)])]
    )


def _names(found: Dashboard) -> list[str]:
    return [pool.name for pool in found.pools]


def _pools(found: Dashboard) -> alt.Color:
    names = _names(found)
    scale = alt.Scale(domain=names, range=cycle(COLOURS, len(names)))
    legend = alt.Legend(orient="top", direction="horizontal", symbolType="stroke", symbolSize=260, columns=4)
    return alt.Color("pool:N", title="Pool", scale=scale, legend=legend)


def _dashes(found: Dashboard) -> alt.StrokeDash:
    names = _names(found)
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
    # A point of its own shows a bucket whose neighbours are empty; the one unseen is what the pointer hits.
    points = base.mark_circle(size=14, opacity=1).encode(y=y)
    targets = base.mark_circle(size=220, opacity=0).encode(y=y, tooltip=tooltip)
    return [lines, points, targets]
