"""How many times as long each pool's jobs take as before, with the allowance as a band around 1×."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import altair as alt

from poolwise.charts import common
from poolwise.lab.charts import Chart
from poolwise.lab.charts.common import LINE, pool_rows, top_legend
from poolwise.lab.statistics import sessions
from poolwise.support import percent

if TYPE_CHECKING:
    from poolwise.lab.bundle import Change

_COLOURS = {
    sessions.FASTER: "#009e73",
    sessions.SLOWER: "#d55e00",
    sessions.NO_CHANGE: "#808080",
    sessions.CANNOT_TELL: "#a07d00",
}
_TICKS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 0.7, 0.8, 0.9, 1, 1.1, 1.2, 1.4, 2, 5, 10, 20, 50, 100)


def draw(changes: Sequence["Change"], allowance: float) -> Chart | None:
    """Return a point with whiskers for each pool; None if no pool was compared."""
    entries = [entry for change in changes if (entry := _entry(change))]
    if not entries:
        return None
    rows = [
        [
            entry["pool"],
            f"{entry['ratio']:.3g}×",
            f"{entry['low']:.3g}× to {entry['high']:.3g}×",
            entry["outcome"],
        ]
        for entry in entries
    ]
    return Chart(
        "changes", "Time per job, after / before",
        f"Right of 1× a pool became slower. Band: the allowance of {percent(allowance)}; whiskers: 95 % bounds.",
        common.finished_spec({"layer": _layers(entries, allowance), "height": LINE * len(entries)}),
        ["Pool", "As long as before", "95 % bounds", "Outcome"], rows,
    )  # fmt: skip


def _entry(change: "Change") -> dict[str, Any] | None:
    between = change.between
    if between is None or between.low is None or between.high is None:
        return None
    return {"pool": change.pool, "outcome": change.outcome, "ratio": between.ratio, "low": between.low,
            "high": between.high}  # fmt: skip


def _layers(entries: Sequence[dict[str, Any]], allowance: float) -> list[alt.Chart]:
    band = {"low": 1 / (1 + allowance), "high": 1 + allowance}
    low = min([band["low"], *(entry["low"] for entry in entries)]) * 0.97
    high = max([band["high"], *(entry["high"] for entry in entries)]) * 1.03
    scale = alt.Scale(type="log", domain=[low, high], nice=False)
    axis = alt.Axis(title="Times as long as before (log scale)", labelExpr="format(datum.value, '~g') + '×'",
                    values=[tick for tick in _TICKS if low <= tick <= high])  # fmt: skip
    outcomes = [outcome for outcome in _COLOURS if any(entry["outcome"] == outcome for entry in entries)]
    colour = alt.Color(
        "outcome:N", title="Outcome", legend=top_legend(symbolType="circle"),
        scale=alt.Scale(domain=outcomes, range=[_COLOURS[outcome] for outcome in outcomes]),
    )  # fmt: skip
    tips = [alt.Tooltip("pool:N", title="Pool"), alt.Tooltip("ratio:Q", title="As long", format=".3~g"),
            alt.Tooltip("low:Q", title="95 % from", format=".3~g"), alt.Tooltip("high:Q", title="to", format=".3~g"),
            alt.Tooltip("outcome:N", title="Outcome")]  # fmt: skip
    base = alt.Chart(common.data(list(entries))).encode(
        y=pool_rows([entry["pool"] for entry in entries]), color=colour, tooltip=tips
    )
    within = alt.Chart(common.data([band])).mark_rect(opacity=0.12, color="#6b7f92")
    return [
        within.encode(x=alt.X("low:Q", scale=scale, axis=axis), x2="high:Q"),
        alt.Chart(common.data([{}])).mark_rule(strokeDash=[4, 3]).encode(x=alt.datum(1, scale=scale)),
        base.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q", scale=scale, axis=axis), x2="high:Q"),
        base.mark_circle(size=130, opacity=1).encode(x=alt.X("ratio:Q", scale=scale, axis=axis)),
    ]
