"""How many times as long a job takes on each pool as on the fastest, with the band in which pools count as equal."""

from typing import Any

import altair as alt

from poolwise.charts import common
from poolwise.lab.charts.common import LINE, ChartTable, Samples, Spec, pool_rows, top_legend
from poolwise.lab.report import Report, Standing
from poolwise.support import times, times_range

_COLOURS = {"fastest": "#009e73", "may be the fastest": "#808080", "slower": "#d55e00"}
#: Ticks of a wide logarithmic axis.
_TICKS = sorted({step * 10.0**power for power in range(-3, 4) for step in (1, 2, 5)} | {0.9, 1.1, 1.25, 1.5})
#: Up to this reach the axis has its fine ticks.
_NARROW = 3.0


def _entries(report: Report) -> list[dict[str, Any]]:
    """Return the pools with a ratio, the fastest first."""
    return [
        _entry(standing) for standing in report.answer.standings if standing.ratio and standing.of_fastest
    ]


def _entry(standing: Standing) -> dict[str, Any]:
    ratio = standing.of_fastest or 1.0
    # The bounds of a pool that is out are against another pool: they are drawn around its own ratio.
    scale = ratio / (standing.ratio or 1.0)
    return {
        "pool": standing.name,
        "role": standing.label,
        "ratio": ratio,
        "low": ratio if standing.low is None else standing.low * scale,
        "high": ratio if standing.high is None else standing.high * scale,
        "label": times(ratio),
    }


def _scale(entries: list[dict[str, Any]]) -> tuple[alt.Scale, list[float]]:
    low = min(0.9, *(entry["low"] for entry in entries))
    high = max(1.1, *(entry["high"] for entry in entries))
    domain = [low / 1.03, high * max(1.1, (high / low) ** 0.26)]  # space for the labels at the right
    reach = domain[1] / domain[0]
    ticks = [tick for tick in _TICKS if domain[0] <= tick <= domain[1]]
    if reach >= _NARROW:
        ticks = [
            tick
            for tick in ticks
            if f"{tick:g}".lstrip("0.")[:1] in ("1" if reach > 60 else "125") and tick not in (1.1, 1.25, 1.5)
        ]
    return alt.Scale(type="log", domain=domain, nice=False), ticks


def draw_ratios(report: Report, samples: Samples) -> Spec:
    """Return a point for each pool with its interval, over the band of equal pools."""
    entries, margin = _entries(report), report.answer.margin
    scale, ticks = _scale(entries)
    axis = alt.Axis(
        title="Time per job, times the fastest (log scale)",
        values=ticks,
        labelExpr="format(datum.value, '~g') + '×'",
    )
    roles = [label for label in _COLOURS if label in {entry["role"] for entry in entries}]
    colour = alt.Color(
        "role:N", title="Standing", legend=top_legend(symbolType="circle"),
        scale=alt.Scale(domain=roles, range=[_COLOURS[role] for role in roles]),
    )  # fmt: skip
    tips = [alt.Tooltip("pool:N", title="Pool"), alt.Tooltip("label:N", title="As long as the fastest"),
            alt.Tooltip("low:Q", title="95 % from", format=".3~g"), alt.Tooltip("high:Q", title="to", format=".3~g"),
            alt.Tooltip("role:N", title="Standing")]  # fmt: skip
    base = alt.Chart(common.data(entries)).encode(
        y=pool_rows([entry["pool"] for entry in entries]), tooltip=tips
    )
    band = alt.Chart(common.data([{}])).mark_rect(opacity=0.15, color="#009e73").encode(
        x=alt.datum(1 / (1 + margin)), x2=alt.datum(1 + margin)
    )  # fmt: skip
    whisker = base.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q", scale=scale), x2="high:Q", color=colour)
    points = base.mark_circle(size=150, opacity=1).encode(
        x=alt.X("ratio:Q", scale=scale, axis=axis), color=colour
    )
    text = base.mark_text(align="left", dx=9, fontSize=14, fontWeight=600).encode(x="high:Q", text="label:N")
    return common.finished_spec({"layer": [band, points, whisker, text], "height": LINE * len(entries)})


def rows_of_ratios(report: Report, samples: Samples) -> ChartTable | None:
    """Return the ratios as a table, or None without any."""
    entries = _entries(report)
    if len(entries) < 2:
        return None
    rows = [[entry["pool"], entry["label"], _interval(entry), entry["role"]] for entry in entries]
    return ["Pool", "As long as the fastest", "95 % interval", "Standing"], rows


def _interval(entry: dict[str, Any]) -> str:
    return times_range(entry["low"], entry["high"]) if entry["high"] > entry["low"] else "–"
