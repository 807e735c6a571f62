"""Throughput, p95, memory and connections by number of slots."""

from typing import Any

import altair as alt

from poolwise.charts import common
from poolwise.lab.charts.common import ChartTable, Samples, Spec, pool_colour, pool_dash
from poolwise.lab.report import Report, SweepPoint
from poolwise.support import seconds

_MB = 1_000_000
_PANELS = (
    ("jobs_per_s", "Throughput", "Jobs per second", None),
    ("p95_s", "Published to finished, p95", "p95", common.DURATION_LABELS),
    ("memory_mb", "Peak memory of the pool", "Memory, MB", None),
    ("db_connections", "Database connections", "Connections", None),
)


def points_of(report: Report) -> list[dict[str, Any]]:
    """Return one point for each pool and number of slots; memory in MB."""
    return [
        {
            **point.model_dump(),
            "pool": pool,
            "memory_mb": None if point.memory_bytes is None else point.memory_bytes / _MB,
        }
        for pool, point in _points(report)
    ]


def _points(report: Report) -> list[tuple[str, SweepPoint]]:
    return [(pool, point) for pool, points in (report.sweep or {}).items() for point in points]


def draw_sweep(report: Report, samples: Samples) -> Spec:
    """Return a panel for each figure that was measured, over the number of slots."""
    points = points_of(report)
    panels = [
        _panel(report, points, field, title, axis, labels)
        for field, title, axis, labels in _PANELS
        if any(point[field] is not None for point in points)
    ]
    return common.finished_spec({"concat": panels, "columns": 2, "spacing": 30})


def _panel(
    report: Report, points: list[dict[str, Any]], field: str, title: str, axis: str, labels: str | None
) -> Spec:
    slots = sorted({point["slots"] for point in points})
    x_axis = alt.Axis(title="Slots", values=slots, format="d", grid=False, labelOverlap=True)
    x = alt.X("slots:Q", axis=x_axis, scale=alt.Scale(type="log", base=2, nice=False))
    labels = labels or "format(datum.value, '~s')"
    y = alt.Y(
        f"{field}:Q",
        axis=alt.Axis(title=axis, tickCount=4, labelExpr=labels),
        scale=alt.Scale(domainMin=0, nice=True),
    )
    base = alt.Chart(common.data(points)).transform_filter(f"isValid(datum.{field})").encode(
        x=x, y=y, color=pool_colour(report, only=report.sweep),
        tooltip=[alt.Tooltip("pool:N", title="Pool"), alt.Tooltip("slots:Q", title="Slots"),
                 alt.Tooltip(f"{field}:Q", title=axis, format=".3~g")],
    )  # fmt: skip
    lines = base.mark_line(strokeWidth=2.4).encode(strokeDash=pool_dash(report, only=report.sweep))
    dots = base.mark_circle(size=50, opacity=1)
    rings = base.transform_filter("datum.is_knee").mark_point(size=260, strokeWidth=2.4, filled=False)
    head = {"text": title, "fontSize": 13}
    return {"layer": [lines, dots, rings], "title": head, "height": 170, "width": 400}


def rows_of_sweep(report: Report, samples: Samples) -> ChartTable | None:
    """Return the points as a table, or None without a sweep."""
    rows = [_row(pool, point) for pool, point in _points(report)]
    return (["Pool", "Slots", "Jobs/s", "p95", "Memory", "Connections", "Knee"], rows) if rows else None


def _row(pool: str, point: SweepPoint) -> list[str]:
    speed, memory, connections = point.jobs_per_s, point.memory_bytes, point.db_connections
    return [
        pool, str(point.slots), "–" if speed is None else f"{speed:.1f}", seconds(point.p95_s),
        "–" if memory is None else f"{memory / _MB:.0f} MB", "–" if connections is None else str(connections),
        "knee" if point.is_knee else "",
    ]  # fmt: skip
