"""The share of a job's time spent waiting and working, per pool."""

import altair as alt

from poolwise.charts.common import Spec, data, finished_spec
from poolwise.reports import Dashboard

WAITING, ON_A_CORE, OFF_CORE = "Waiting for a slot", "Working, on a core", "Working, off the core"
_COLOURS = {WAITING: "#b98a00", ON_A_CORE: "#d55e00", OFF_CORE: "#2f8fc4"}


def time_split(figures: Dashboard) -> Spec:
    """Return a bar for each pool, split into waiting for a slot, running on a core, and running off it."""
    rows = []
    for pool in figures.pools:
        parts = {WAITING: pool.time.wait_s, ON_A_CORE: pool.time.cpu_s, OFF_CORE: pool.time.off_cpu_s}
        total = sum(parts.values())
        rows += [
            {"pool": pool.name, "part": part, "rank": rank, "s": value, "share": value / total}
            for rank, (part, value) in enumerate(parts.items())
            if total
        ]
    pools = [pool.name for pool in figures.pools if pool.time.n]
    axis = alt.Axis(title=None, labelFontSize=13, ticks=False, domain=False, labelPadding=8)
    chart = (
        alt.Chart(data(rows))
        .mark_bar(size=22)
        .encode(
            y=alt.Y("pool:N", sort=pools, axis=axis),
            x=alt.X("share:Q", title="Share of the time from published to finished", stack="zero",
                    scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format="%", tickCount=5)),
            color=alt.Color("part:N", title=None, legend=alt.Legend(orient="top", direction="horizontal", columns=3,
                            labelLimit=220), scale=alt.Scale(domain=list(_COLOURS), range=list(_COLOURS.values()))),
            order=alt.Order("rank:Q"),
            tooltip=[
                alt.Tooltip("pool:N", title="Pool"),
                alt.Tooltip("part:N", title="Time"),
                alt.Tooltip("share:Q", title="Share", format=".1%"),
                alt.Tooltip("s:Q", title="Mean of a job, s", format=".3~g"),
            ],
        )
        .properties(width=300, height=max(1, len(pools)) * 40)
    )  # fmt: skip
    return finished_spec(chart)
