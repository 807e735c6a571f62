"""Where a job's time went: waiting to start, then the parts of its run."""

from statistics import mean
from typing import Any

import altair as alt

from poolwise.charts import common
from poolwise.lab.charts.common import (
    LINE,
    ChartTable,
    Samples,
    Spec,
    duration_axis,
    measured,
    pool_rows,
    top_legend,
)
from poolwise.lab.report import Report
from poolwise.support import percent, seconds

_WAIT = "Waiting to start"
_PARTS = {
    "cpu_s": "On a core",
    "run_queue_s": "Waiting for a core",
    "gil_wait_s": "Waiting for the GIL",
    "blocked_s": "Blocked",
    "unattributed_s": "Unattributed",
}
_COLOURS = dict(
    zip(
        (_WAIT, *_PARTS.values()),
        ("#d9a514", "#2f74d0", "#d55e00", "#cc6fa5", "#8fb8e8", "#9aa5b1"),
        strict=True,
    )
)


def _means(report: Report, samples: Samples) -> dict[str, dict[str, float]]:
    """Return each pool's mean seconds per job by part, without parts that no pool has."""
    jobs, means = measured(report, samples), dict[str, dict[str, float]]()
    for pool in report.pools:
        waits = [job.wait_s or 0.0 for job in jobs if job.pool == pool.name]
        ran, sums = pool.succeeded + pool.failed, pool.time.model_dump()
        if ran and any(sums.values()):
            parts = {label: sums[key] / ran for key, label in _PARTS.items()}
            means[pool.name] = {_WAIT: mean(waits), **parts} if waits else parts
    shown = [part for part in _COLOURS if any(parts.get(part) for parts in means.values())]
    return {name: {part: parts.get(part, 0.0) for part in shown} for name, parts in means.items()}


def draw_time(report: Report, samples: Samples) -> Spec:
    """Return the mean seconds per job, stacked by part, the fastest pool first."""
    means = _means(report, samples)
    order = sorted(means, key=lambda name: sum(means[name].values()))
    rows = [
        {"pool": name, "part": part, "s": value, "rank": rank}
        for name, parts in means.items()
        for rank, (part, value) in enumerate(parts.items())
    ]
    shown = [part for part in _COLOURS if any(part in parts for parts in means.values())]
    scale = alt.Scale(domain=shown, range=[_COLOURS[part] for part in shown])
    x = alt.X("s:Q", axis=duration_axis("Mean time of a job"), scale=alt.Scale(zero=True, nice=True))
    tips = [alt.Tooltip("pool:N", title="Pool"), "part:N", alt.Tooltip("s:Q", title="Seconds", format=".3~g")]
    chart = alt.Chart(common.data(rows)).mark_bar(size=22).encode(
        y=pool_rows(order), x=x, order="rank:Q", tooltip=tips,
        color=alt.Color("part:N", title="Part", scale=scale, legend=top_legend(symbolType="square")),
    )  # fmt: skip
    return common.finished_spec(chart.properties(height=LINE * len(order)))


def rows_of_time(report: Report, samples: Samples) -> ChartTable | None:
    """Return the mean seconds by part; the parts of the run with their share of it."""
    means = _means(report, samples)
    if not means:
        return None
    head = ["Pool", *next(iter(means.values()))]
    return head, [[name, *_cells(parts)] for name, parts in means.items()]


def _cells(parts: dict[str, Any]) -> list[str]:
    run_s = sum(value for part, value in parts.items() if part != _WAIT)
    return [
        seconds(value) if part == _WAIT else f"{seconds(value)} ({percent(value / run_s)})"
        for part, value in parts.items()
    ]
