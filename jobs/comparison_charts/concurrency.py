"""How many jobs of a block ran at once."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import altair as alt

from jobs.charts.common import data, finished_spec
from jobs.comparison_charts.blocks import blocks_that_count
from jobs.comparison_charts.common import (
    Evidence,
    Samples,
    Spec,
    Table,
    duration_axis,
    names_of,
    pool_colour,
)

_MOST_POINTS = 400


def _moment(value: Any) -> float | None:
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    return value.timestamp() if isinstance(value, datetime) else value


def _median_round(pool: Mapping[str, Any]) -> int | None:
    blocks = sorted(blocks_that_count(pool), key=lambda block: block["makespan_s"])
    return blocks[len(blocks) // 2]["round"] if blocks else None


def _steps(jobs: Sequence[Mapping[str, Any]]) -> list[tuple[float, int]]:
    """Return (seconds since the block began, jobs running from then on)."""
    changes: Counter[float] = Counter()
    published = [at for job in jobs if (at := _moment(job.get("published_at"))) is not None]
    for job in jobs:
        start, end = _moment(job.get("started_at")), _moment(job.get("finished_at"))
        if start is not None and end is not None and end >= start:
            changes[start] += 1
            changes[end] -= 1
    if not changes:
        return []
    origin = min([*published, *changes])
    steps, running = [(0.0, 0)], 0
    for at in sorted(changes):
        running += changes[at]
        steps.append((at - origin, running))
    return _thinned(steps)


def _thinned(steps: list[tuple[float, int]]) -> list[tuple[float, int]]:
    """Return few enough steps, of each stretch the highest, so that peaks stay."""
    width = -(-len(steps) // _MOST_POINTS)
    groups = (steps[at : at + width] for at in range(0, len(steps), width))
    return [*(max(group, key=lambda step: step[1]) for group in groups), steps[-1]]


def _curves(evidence: Evidence, samples: Samples) -> dict[str, list[tuple[float, int]]]:
    found = {}
    for pool in evidence.get("pools", ()):
        number = _median_round(pool)
        own = [
            job for job in samples
            if job["pool"] == pool["name"] and job.get("round") == number and job.get("role") == "measured"
        ]  # fmt: skip
        if steps := _steps(own):
            found[pool["name"]] = steps
    return found


def _possible(pool: Mapping[str, Any]) -> int:
    """Return how many could run at once: the slots, or all copies of a block where these are fewer."""
    rounds = max(1, len(blocks_that_count(pool)))
    return max(1, min(pool.get("slots") or 1, -(-(pool.get("jobs") or 1) // rounds)))


def draw_concurrency(evidence: Evidence, samples: Samples) -> Spec:
    """Return one panel a pool: jobs at once over the block, under a dashed line at what was possible."""
    curves, pools = _curves(evidence, samples), {pool["name"]: pool for pool in evidence["pools"]}
    panels = [_panel(evidence, pools[name], curves[name]) for name in names_of(evidence) if name in curves]
    return finished_spec({"concat": panels, "columns": 2, "spacing": 26})


def _panel(evidence: Evidence, pool: Mapping[str, Any], steps: list[tuple[float, int]]) -> Spec:
    name, possible = pool["name"], _possible(pool)
    most = max(possible, *(running for _, running in steps))
    rows = [{"pool": name, "s": at, "running": running} for at, running in steps]
    y_axis = alt.Axis(title="Jobs at once", tickMinStep=1, tickCount=4, format="d")
    y = alt.Y("running:Q", axis=y_axis, scale=alt.Scale(domain=[0, most * 1.12], nice=False))
    x = alt.X("s:Q", axis=duration_axis("Since the block began"), scale=alt.Scale(zero=True, nice=False))
    tips = [alt.Tooltip("pool:N", title="Pool"), alt.Tooltip("s:Q", title="Seconds", format=".3~g"),
            alt.Tooltip("running:Q", title="Jobs at once")]  # fmt: skip
    base = alt.Chart(data(rows)).encode(x=x, color=pool_colour(evidence, legend=False))
    area = base.mark_area(interpolate="step-after", opacity=0.22, line=False).encode(y=y)
    line = base.mark_line(interpolate="step-after", strokeWidth=2).encode(y=y, tooltip=tips)
    limit = alt.Chart(data([{"n": possible}])).mark_rule(strokeDash=[5, 4], strokeWidth=1.4).encode(y="n:Q")
    title = {"text": f"{name}: {possible} possible", "fontSize": 13}
    return {"layer": [area, line, limit], "title": title, "height": 120, "width": 400}


def rows_of_concurrency(evidence: Evidence, samples: Samples) -> Table | None:
    """Return peak and time average of each pool, over its rounds."""
    rows = []
    for pool in evidence.get("pools", ()):
        known = [found for block in blocks_that_count(pool) if (found := block.get("concurrency"))]
        if known:
            peak = max(found["peak"] for found in known)
            average = sum(found["mean"] for found in known) / len(known)
            rows.append(
                [
                    pool["name"],
                    str(pool.get("slots") or "–"),
                    str(_possible(pool)),
                    f"{peak:g}",
                    f"{average:.1f}",
                ]
            )
    has_curve = rows and _curves(evidence, samples)
    return (["Pool", "Slots", "Possible", "Peak", "Time average"], rows) if has_curve else None
