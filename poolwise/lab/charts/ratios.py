"""The speed ratio of each pool to the baseline, sorted around 1.0×."""

from collections.abc import Mapping
from typing import Any

import altair as alt

from poolwise.charts import common
from poolwise.lab.charts.common import LINE, ChartTable, Samples, Spec, pool_rows, top_legend
from poolwise.lab.report import Report
from poolwise.lab.statistics import Verdict
from poolwise.support import times

_OUTCOME_COLOURS = {
    "faster": "#009e73",
    "slower": "#d55e00",
    "no difference detected": "#808080",
    "cannot tell": "#a07d00",
    "baseline": "#6b7f92",
}
#: Ticks of a wide logarithmic axis.
_ROUND = [step * 10.0**power for power in range(-3, 4) for step in (1, 2, 5)]
_TICKS = sorted({*_ROUND, 0.8, 0.9, 0.95, 1.05, 1.1, 1.25, 1.5})


def _entries(report: Report) -> list[dict[str, Any]]:
    """Return the pools with a ratio, the fastest first, the baseline among them as 1.0×."""
    entries = [
        _entry(pool, verdict.outcome, verdict.ratio, verdict.low, verdict.high)
        for pool, verdict in report.verdicts.items()
        if verdict.ratio and pool != report.baseline
    ]
    # The legend names the baseline; a longer label would not fit on a phone.
    own = _entry(report.baseline, "baseline", 1.0, 1.0, 1.0) | {"label": "1.0×"}
    return sorted([*entries, own], key=lambda entry: entry["ratio"], reverse=True)


def _entry(pool: str, outcome: str, ratio: float, low: float | None, high: float | None) -> dict[str, Any]:
    return {
        "pool": pool, "outcome": outcome, "ratio": ratio, "low": ratio if low is None else low,
        "high": ratio if high is None else high, "label": times(ratio),
    }  # fmt: skip


def _scale(entries: list[dict[str, Any]]) -> tuple[alt.Scale, list[float]]:
    low = min(0.9, *(entry["low"] for entry in entries))
    high = max(1.1, *(entry["high"] for entry in entries))
    room = max(1.1, (high / low) ** 0.26)  # space for the labels at both ends
    domain = [low / max(1.03, room**0.3), high * room]
    reach = domain[1] / domain[0]
    digits = "1259" if reach < 3 else "125" if reach < 60 else "1"
    ticks = [t for t in _TICKS if domain[0] <= t <= domain[1] and f"{t:g}".lstrip("0.")[0] in digits]
    if reach >= 3:
        ticks = [t for t in ticks if t in _ROUND]
    return alt.Scale(type="log", domain=domain, nice=False), ticks


def draw_ratios(report: Report, samples: Samples) -> Spec:
    """Return bars from 1.0× with whiskers and the ratio as a label."""
    entries = _entries(report)
    scale, ticks = _scale(entries)
    axis = alt.Axis(
        title="Speed ratio (log scale)", values=ticks, labelExpr="format(datum.value, '~g') + '×'"
    )
    present = {entry["outcome"] for entry in entries}
    outcomes = [outcome for outcome in _OUTCOME_COLOURS if outcome in present]
    colour = alt.Color(
        "outcome:N", title="Verdict", legend=top_legend(symbolType="square"),
        scale=alt.Scale(domain=outcomes, range=[_OUTCOME_COLOURS[outcome] for outcome in outcomes]),
    )  # fmt: skip
    tips = [alt.Tooltip("pool:N", title="Pool"), alt.Tooltip("label:N", title="Ratio"),
            alt.Tooltip("low:Q", title="95 % from", format=".3~g"), alt.Tooltip("high:Q", title="to", format=".3~g"),
            alt.Tooltip("outcome:N", title="Verdict")]  # fmt: skip
    base = alt.Chart(common.data(entries)).encode(
        y=pool_rows([entry["pool"] for entry in entries]), tooltip=tips
    )
    bars = base.mark_bar(size=18, cornerRadius=3).encode(
        x=alt.X("ratio:Q", scale=scale, axis=axis), x2=alt.datum(1), color=colour
    )
    whisker = base.transform_filter("datum.high > datum.low").encode(
        x=alt.X("low:Q", scale=scale), x2="high:Q"
    )
    ends = [
        base.transform_filter("datum.high > datum.low").mark_tick(thickness=2, size=12).encode(x=f"{end}:Q")
        for end in ("low", "high")
    ]
    text = base.transform_calculate(at="max(datum.high, 1)").mark_text(
        align="left", dx=9, fontSize=14, fontWeight=600
    ).encode(x="at:Q", text="label:N")  # fmt: skip
    own = (
        base.transform_filter("datum.outcome == 'baseline'")
        .mark_circle(size=150, opacity=1)
        .encode(x="ratio:Q", color=colour)
    )
    at_one = alt.Chart(common.data([{}])).mark_rule(strokeDash=[4, 3], strokeWidth=1.2).encode(x=alt.datum(1))
    layers = [bars, whisker.mark_rule(strokeWidth=2), *ends, at_one, own, text]
    return common.finished_spec({"layer": layers, "height": LINE * len(entries)})


def rows_of_ratios(report: Report, samples: Samples) -> ChartTable | None:
    """Return the ratios as a table, or None without any."""
    entries = _entries(report)
    if len(entries) < 2:
        return None
    rows = [_row(entry, report.verdicts.get(entry["pool"])) for entry in entries]
    return ["Pool", "Speed ratio", "95 % interval", "Verdict", "p"], rows


def _row(entry: Mapping[str, Any], verdict: Verdict | None) -> list[str]:
    interval = f"{times(entry['low'])} to {times(entry['high'])}" if entry["high"] > entry["low"] else "–"
    p_value = verdict and verdict.p_value
    return [
        entry["pool"],
        times(entry["ratio"]),
        interval,
        entry["outcome"],
        "–" if p_value is None else f"{p_value:.2g}",
    ]
