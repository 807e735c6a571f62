"""Durations of several kinds as dots on one axis, a line a pool: what makespan and overhead look like."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import altair as alt

from jobs.charts.common import data, finished_spec
from jobs.comparison_charts.common import (
    LINE,
    Spec,
    duration_axis,
    duration_scale,
    pool_rows,
    top_legend,
)


class Dot(NamedTuple):
    """How one kind of duration is drawn."""

    colour: str
    shape: str
    filled: bool = True
    size: int = 130
    opacity: float = 1.0


def dots(
    points: Sequence[Mapping[str, Any]],
    kinds: Mapping[str, Dot],
    *,
    order: Sequence[str],
    joined: Collection[str],
    axis: str,
    legend: str,
) -> Spec:
    """Draw points with `pool`, `what` (one of `kinds`) and `s`; those of the `joined` kinds have a line between them."""
    shown_s = [point["s"] for point in points]
    x = alt.X("s:Q", axis=duration_axis(axis, shown_s), scale=duration_scale(shown_s))
    colours = alt.Scale(domain=list(kinds), range=[dot.colour for dot in kinds.values()])
    shapes = alt.Scale(domain=list(kinds), range=[dot.shape for dot in kinds.values()])
    colour = alt.Color("what:N", title=legend, legend=top_legend(symbolOpacity=1), scale=colours)
    tips = [alt.Tooltip("pool:N", title="Pool"), alt.Tooltip("what:N", title=legend),
            alt.Tooltip("s:Q", title="Seconds", format=".3~g")]  # fmt: skip
    base = alt.Chart(data(points)).encode(y=pool_rows(order))
    gap = (
        base.transform_filter(alt.FieldOneOfPredicate(field="what", oneOf=list(joined)))
        .mark_line(strokeWidth=3, opacity=0.35, color="#808080")
        .encode(x=x, detail="pool:N")
    )
    marks = [
        base.transform_filter(alt.FieldEqualPredicate(field="what", equal=kind))
        .mark_point(filled=dot.filled, size=dot.size, opacity=dot.opacity, strokeWidth=3)
        .encode(x=x, color=colour, shape=alt.Shape("what:N", title=legend, scale=shapes), tooltip=tips)
        for kind, dot in kinds.items()
    ]
    return finished_spec({"layer": [gap, *marks], "height": LINE * len(order)})
