"""Makespan of each block against the ideal of its slots or cores."""

from collections.abc import Mapping
from statistics import median
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

_SHAPES = {"Ideal": "diamond", "A round": "circle", "Median of the rounds": "M0,-0.8L0,0.8"}
_COLOURS = {"Ideal": "#009e73", "A round": "#0a84c6", "Median of the rounds": "#d55e00"}


def blocks_that_count(pool: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return a pool's measured blocks that are not void and have ended."""
    blocks = pool.get("blocks") or ()
    return [
        b for b in blocks if b.get("role") == "measured" and not b.get("void_reason") and b.get("makespan_s")
    ]


def _ideal_s(pool: Mapping[str, Any]) -> float | None:
    known = [block["ideal_makespan_s"] for block in blocks_that_count(pool) if block.get("ideal_makespan_s")]
    return median(known) if known else None


def _median_s(pool: Mapping[str, Any]) -> float | None:
    spans = [block["makespan_s"] for block in blocks_that_count(pool)]
    return median(spans) if spans else None


def _points(evidence: Evidence) -> list[dict[str, Any]]:
    points = []
    for pool in evidence.get("pools", ()):
        own = {"pool": pool["name"]}
        points += [own | {"what": "A round", "s": block["makespan_s"]} for block in blocks_that_count(pool)]
        if (span := _median_s(pool)) is not None:
            points.append(own | {"what": "Median of the rounds", "s": span})
        if (ideal := _ideal_s(pool)) is not None:
            points.append(own | {"what": "Ideal", "s": ideal})
    return points


def draw_makespan(evidence: Evidence, samples: Samples) -> Spec:
    """Return rounds, median and ideal of each pool on one axis, with the gap between the last two as a line."""
    points = _points(evidence)
    spans = {pool["name"]: _median_s(pool) for pool in evidence["pools"]}
    order = sorted((name for name, span in spans.items() if span), key=lambda name: spans[name] or 0.0)
    spans_s = [point["s"] for point in points]
    axis = duration_axis("Makespan of a block", spans_s)
    x = alt.X("s:Q", axis=axis, scale=duration_scale(spans_s))
    kinds = list(_SHAPES)
    colour = alt.Color("what:N", title="Makespan", legend=top_legend(symbolOpacity=1),
                       scale=alt.Scale(domain=kinds, range=list(_COLOURS.values())))  # fmt: skip
    shape = alt.Shape("what:N", title="Makespan", scale=alt.Scale(domain=kinds, range=list(_SHAPES.values())))
    tips = [alt.Tooltip("pool:N", title="Pool"), alt.Tooltip("what:N", title="Makespan"),
            alt.Tooltip("s:Q", title="Seconds", format=".3~g")]  # fmt: skip
    base = alt.Chart(data(points)).encode(y=pool_rows(order))
    gap = (
        base.transform_filter("datum.what != 'A round'")
        .mark_line(strokeWidth=3, opacity=0.35, color="#808080")
        .encode(x=x, detail="pool:N")
    )
    marks = [
        base.transform_filter(f"datum.what == '{kind}'").mark_point(filled=filled, size=size, opacity=opacity, strokeWidth=3)
        .encode(x=x, color=colour, shape=shape, tooltip=tips)
        for kind, filled, size, opacity in (
            ("A round", True, 90, 0.45), ("Ideal", True, 130, 1.0), ("Median of the rounds", False, 320, 1.0),
        )
    ]  # fmt: skip
    return finished_spec(alt.layer(gap, *marks).properties(height=LINE * len(order)))


def rows_of_makespan(evidence: Evidence, samples: Samples) -> Table | None:
    """Return makespans, ideal and efficiency, or None when no block has ended."""
    rows = []
    for pool in evidence.get("pools", ()):
        if (span := _median_s(pool)) is not None:
            ideal = _ideal_s(pool)
            spans = [block["makespan_s"] for block in blocks_that_count(pool)]
            reached = percent(ideal / span) if ideal and span else "–"
            rows.append(
                [
                    pool["name"],
                    seconds(span),
                    seconds(min(spans)),
                    seconds(max(spans)),
                    seconds(ideal),
                    reached,
                ]
            )
    return (
        (["Pool", "Median", "Fastest round", "Slowest round", "Ideal", "Ideal ÷ median"], rows)
        if rows
        else None
    )
