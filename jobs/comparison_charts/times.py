"""Where a job's time went: waiting, on a core, off it, and what being off it was made of."""

from collections.abc import Mapping, Sequence
from statistics import mean
from typing import Any

import altair as alt

from jobs.charts.common import data, finished_spec
from jobs.comparison_charts.common import (
    LINE,
    Evidence,
    Samples,
    Spec,
    Table,
    duration_axis,
    names_of,
    pool_rows,
    top_legend,
)
from jobs.comparison_charts.distributions import measured, wait_of
from jobs.formats import percent, seconds

_WAIT, _ON, _OFF = "Waiting for its turn", "On a core", "Off the core"
_TIME_COLOURS = {_WAIT: "#d9a514", _ON: "#2f74d0", _OFF: "#8fb8e8"}
_PARTS = {
    "cpu_s": ("On a core", "#2f74d0"),
    "run_queue_s": ("Ready, no core free", "#d55e00"),
    "gil_wait_s": ("Waiting for the GIL", "#cc6fa5"),
    "blocked_s": ("Blocked: it waits", "#8fb8e8"),
    "unknown_s": ("Not told apart", "#9aa5b1"),
}


def _means(evidence: Evidence, samples: Samples) -> dict[str, dict[str, float]]:
    """Return each pool's mean seconds by part."""
    jobs = measured(samples)
    found = {}
    for name in names_of(evidence):
        own = [job for job in jobs if job["pool"] == name and job.get("run_s") is not None]
        if own:
            cpu_s = mean(job.get("cpu_s") or 0.0 for job in own)
            run_s = mean(job["run_s"] for job in own)
            found[name] = {
                _WAIT: mean(wait_of(job) or 0.0 for job in own),
                _ON: cpu_s,
                _OFF: max(0.0, run_s - cpu_s),
            }
    return found


def _stack(
    rows: Sequence[Mapping[str, Any]],
    order: Sequence[str],
    colours: Mapping[str, str],
    x: alt.X,
    tip: alt.Tooltip,
) -> Spec:
    scale = alt.Scale(domain=list(colours), range=list(colours.values()))
    chart = alt.Chart(data(rows)).mark_bar(size=22).encode(
        y=pool_rows(order), x=x, order="rank:Q", tooltip=[alt.Tooltip("pool:N", title="Pool"), "part:N", tip],
        color=alt.Color("part:N", title="Part", scale=scale, legend=top_legend(symbolType="square")),
    )  # fmt: skip
    return finished_spec(chart.properties(height=LINE * len(order)))


def draw_time(evidence: Evidence, samples: Samples) -> Spec:
    """Return mean seconds of one job, stacked: wait, on a core, off it."""
    found = _means(evidence, samples)
    order = sorted(found, key=lambda name: sum(found[name].values()))
    rows = [
        {"pool": name, "part": part, "s": value, "rank": rank}
        for name, parts in found.items()
        for rank, (part, value) in enumerate(parts.items())
    ]
    x = alt.X("s:Q", axis=duration_axis("Mean time of one job"), scale=alt.Scale(zero=True, nice=True))
    return _stack(rows, order, _TIME_COLOURS, x, alt.Tooltip("s:Q", title="Seconds", format=".3~g"))


def rows_of_time(evidence: Evidence, samples: Samples) -> Table | None:
    """Return mean seconds by part."""
    found = _means(evidence, samples)
    rows = [[name, *(seconds(parts[part]) for part in _TIME_COLOURS)] for name, parts in found.items()]
    return (["Pool", *_TIME_COLOURS], rows) if rows else None


def _shares(evidence: Evidence) -> dict[str, dict[str, float]]:
    """Return each pool's parts of the run as shares of their sum; parts that were nowhere measured left out."""
    sums = {pool["name"]: pool.get("time") or {} for pool in evidence.get("pools", ())}
    totals = {name: sum(parts.get(key) or 0.0 for key in _PARTS) for name, parts in sums.items()}
    shown = [key for key in _PARTS if any(parts.get(key) for parts in sums.values())]
    return {
        name: {_PARTS[key][0]: (parts.get(key) or 0.0) / totals[name] for key in shown}
        for name, parts in sums.items()
        if totals[name]
    }


def draw_split(evidence: Evidence, samples: Samples) -> Spec:
    """Return what the runs were made of, as shares."""
    found = _shares(evidence)
    rows = [
        {"pool": name, "part": part, "share": value, "rank": rank}
        for name, parts in found.items()
        for rank, (part, value) in enumerate(parts.items())
    ]
    shown = {part for parts in found.values() for part in parts}
    colours = {part: colour for part, colour in _PARTS.values() if part in shown}
    axis = alt.Axis(title="Share of the run", format=".0%", tickCount=5)
    x = alt.X("share:Q", axis=axis, scale=alt.Scale(domain=[0, 1]))
    return _stack(rows, list(found), colours, x, alt.Tooltip("share:Q", title="Share", format=".1%"))


def rows_of_split(evidence: Evidence, samples: Samples) -> Table | None:
    """Return the shares of the run by part."""
    found = _shares(evidence)
    parts = list(dict.fromkeys(part for shares in found.values() for part in shares))
    rows = [[name, *(percent(shares[part]) for part in parts)] for name, shares in found.items()]
    return (["Pool", *parts], rows) if rows else None
