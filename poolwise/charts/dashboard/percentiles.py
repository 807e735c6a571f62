"""Wait and run of each pool over time, with marks where its configuration or versions changed."""

from collections.abc import Callable
from typing import Any

import altair as alt

from poolwise.charts.common import (
    COLOURS,
    Spec,
    cycle,
    duration_axis,
    duration_scale,
    finished_spec,
    time_axis,
    time_tooltip,
)
from poolwise.reports import Dashboard, PoolPoint

_HEIGHT = 96
_MEDIAN, _P95, _CHANGED = "Median (p50)", "95th percentile (p95)", "Configuration or version changed"
#: Readable on white and on near-black.
_MARK = "#8a8a8a"
_Values = Callable[[PoolPoint], tuple[float | None, float | None]]
_MEASURES: dict[str, _Values] = {
    "wait": lambda point: (point.wait_p50_s, point.wait_p95_s),
    "run": lambda point: (point.run_p50_s, point.run_p95_s),
}


def percentiles(figures: Dashboard) -> Spec:
    """Return small charts of wait and run, one row per pool; each column has one scale."""
    shown = {point.pool for point in figures.points if point.run_p50_s is not None}
    names = [pool.name for pool in figures.pools if pool.name in shown]
    # Altair is slow, so it makes the layers of a column once; the panels differ only in their data.
    columns = {measure: _layers(figures, values) for measure, values in _MEASURES.items()}
    x = {
        is_last: time_axis(figures, title="Time, UTC" if is_last else None).to_dict()
        for is_last in (True, False)
    }
    panels = [
        {
            **columns[measure],
            "title": f"{name}: {measure}",
            "data": {"values": _rows(figures, name, _MEASURES[measure])},
            "encoding": {"x": x[name == names[-1]]},
        }
        for name in names
        for measure in _MEASURES
    ]
    return {
        "$schema": alt.SCHEMA_URL,  # without it, the page's script takes a concatenation for Vega
        "concat": panels,
        "columns": 2,
        "spacing": 14,
        "resolve": {"scale": {"strokeDash": "shared"}},
    }


def _rows(figures: Dashboard, pool: str, values: _Values) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for point in figures.points:
        if point.pool == pool:
            p50, p95 = values(point)
            rows.append({"pool": pool, "at": point.at.isoformat(), "p50": p50, "p95": p95})
    return rows + [
        {"pool": pool, "at": change.at.isoformat(), "text": change.text}
        for change in figures.changes
        if change.pool == pool
    ]


def _layers(figures: Dashboard, values: _Values) -> Spec:
    everything = [value for point in figures.points for value in values(point)]
    y: dict[str, Any] = {"scale": duration_scale(everything), "axis": duration_axis(everything, title=None)}
    charts = [*_changes(), *_lines(alt.Y("p50:Q", **y), alt.Y("p95:Q", **y), _colour(figures))]
    # The panel has the data; Altair adds an empty set to a layer without any.
    layers = [
        {key: part for key, part in layer.items() if key != "data"}
        for layer in finished_spec({"layer": charts})["layer"]
    ]
    return {"layer": layers, "width": 300, "height": _HEIGHT}


def _lines(p50: alt.Y, p95: alt.Y, colour: alt.Color) -> list[alt.Chart]:
    base = alt.Chart().transform_filter("!isValid(datum.text)").encode(color=colour)
    tooltip = [
        time_tooltip(),
        alt.Tooltip("p50:Q", title="Median, s", format=".3~g"),
        alt.Tooltip("p95:Q", title="p95, s", format=".3~g"),
    ]
    band = base.transform_filter("isValid(datum.p50) && isValid(datum.p95)").mark_area(opacity=0.16)
    return [
        band.encode(y=p50, y2="p95:Q"),
        _styled(base, _P95).mark_line(strokeWidth=1.25).encode(y=p95),
        _styled(base, _MEDIAN).mark_line(strokeWidth=2.25).encode(y=p50),
        base.mark_circle(size=10, opacity=1).encode(y=p50),
        base.mark_circle(size=200, opacity=0).encode(y=p50, tooltip=tooltip),
    ]


def _changes() -> list[alt.Chart]:
    base = alt.Chart().transform_filter("isValid(datum.text)")
    tooltip = [time_tooltip(), alt.Tooltip("text:N", title="Changed")]
    rule = _styled(base, _CHANGED).mark_rule(color=_MARK, strokeWidth=1.5).encode(tooltip=tooltip)
    flag = base.mark_point(shape="triangle-down", size=90, color=_MARK, filled=True, opacity=1)
    return [rule, flag.encode(y=alt.value(-2), tooltip=tooltip)]


def _colour(figures: Dashboard) -> alt.Color:
    names = [pool.name for pool in figures.pools]
    scale = alt.Scale(domain=names, range=cycle(COLOURS, len(names)))
    return alt.Color("pool:N", scale=scale, legend=None)  # each panel's title names its pool


def _styled(base: alt.Chart, name: str) -> alt.Chart:
    """Return the chart with the dash and the legend entry of the name."""
    scale = alt.Scale(domain=[_MEDIAN, _P95, _CHANGED], range=[[1, 0], [5, 3], [2, 2]])
    legend = alt.Legend(
        title=None,
        orient="top",
        direction="horizontal",
        symbolType="stroke",
        symbolSize=300,
        symbolStrokeColor=_MARK,
        columns=3,
        labelLimit=260,
    )
    named = base.transform_calculate(style=f"'{name}'")
    return named.encode(strokeDash=alt.StrokeDash("style:N", scale=scale, legend=legend))
