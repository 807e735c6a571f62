"""Distributions of wait and of run, as empirical cumulative curves."""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from jobs.charts.common import data, finished_spec
from jobs.comparison_charts.common import (
    HEIGHT,
    Evidence,
    Samples,
    Spec,
    Table,
    duration_axis,
    duration_scale,
    names_of,
    pool_colour,
    pool_dash,
)
from jobs.formats import seconds
from jobs.statistics import summary

#: So many points draw a curve; more cannot be seen.
_POINTS = 160
#: A clock resolves no less, and a logarithmic axis has no zero.
_LEAST_S = 1e-5


def wait_of(job: Mapping[str, Any]) -> float | None:
    """Return the seconds from published to started."""
    parts = (job.get("broker_wait_s"), job.get("worker_wait_s"))
    return None if None in parts else sum(part for part in parts if part is not None)


def measured(samples: Samples) -> list[Mapping[str, Any]]:
    """Return the jobs that count: of measured blocks, and succeeded."""
    return [job for job in samples if job.get("role") == "measured" and job.get("state") == "succeeded"]


def values_of(key: str, evidence: Evidence, samples: Samples) -> dict[str, list[float]]:
    """Return each pool's waits or runs in seconds, sorted."""
    found: dict[str, list[float]] = {name: [] for name in names_of(evidence)}
    for job in measured(samples):
        value = wait_of(job) if key == "wait" else job.get("run_s")
        if value is not None and job["pool"] in found:
            found[job["pool"]].append(max(_LEAST_S, value))
    return {name: sorted(values) for name, values in found.items() if values}


def _curve(pool: str, values: Sequence[float]) -> list[dict[str, Any]]:
    """Return a curve from 0 to 1 at few enough points that lie on it."""
    count = len(values)
    ranks = sorted(
        {round(step * (count - 1) / min(_POINTS, count)) for step in range(min(_POINTS, count) + 1)}
    )
    points = [
        {"pool": pool, "s": float(f"{values[rank]:.4g}"), "share": round((rank + 1) / count, 4)}
        for rank in ranks
    ]
    return [{**points[0], "share": 0.0}, *points]


def _draw(key: str, title: str, evidence: Evidence, samples: Samples) -> Spec:
    found = values_of(key, evidence, samples)
    points = [point for pool, values in found.items() for point in _curve(pool, values)]
    shown_s = [point["s"] for point in points]
    scale = duration_scale(shown_s, from_zero=False)
    base = alt.Chart(data(points)).encode(
        x=alt.X("s:Q", scale=scale, axis=duration_axis(title, shown_s)),
        y=alt.Y(
            "share:Q",
            scale=alt.Scale(domain=[0, 1]),
            axis=alt.Axis(title="Share of jobs", format=".0%", tickCount=4),
        ),
        color=pool_colour(evidence),
    )
    tips = [alt.Tooltip("pool:N", title="Pool"), alt.Tooltip("s:Q", title=f"{title}, s", format=".3~g"),
            alt.Tooltip("share:Q", title="Share of jobs", format=".0%")]  # fmt: skip
    lines = base.mark_line(interpolate="step-after", strokeWidth=2.4).encode(
        strokeDash=pool_dash(evidence), order="share:Q"
    )
    targets = base.mark_circle(size=160, opacity=0).encode(tooltip=tips)
    return finished_spec({"layer": [lines, targets], "height": HEIGHT})


def _rows(key: str, evidence: Evidence, samples: Samples) -> Table | None:
    found = values_of(key, evidence, samples)
    if not found:
        return None
    rows = []
    for pool, values in found.items():
        sums = summary(values)
        figures = (sums.minimum, sums.p50, sums.p95, sums.p99, sums.maximum)
        rows.append([pool, f"{sums.n:,}", *map(seconds, figures)])
    return ["Pool", "Jobs", "Least", "p50", "p95", "p99", "Most"], rows


def draw_wait(evidence: Evidence, samples: Samples) -> Spec:
    """Return the distribution of the wait from published to started."""
    return _draw("wait", "Wait, published to started", evidence, samples)


def draw_run(evidence: Evidence, samples: Samples) -> Spec:
    """Return the distribution of the run."""
    return _draw("run", "Run, started to finished", evidence, samples)


def rows_of_wait(evidence: Evidence, samples: Samples) -> Table | None:
    """Return the waits in percentiles; p99 needs 100 jobs."""
    return _rows("wait", evidence, samples)


def rows_of_run(evidence: Evidence, samples: Samples) -> Table | None:
    """Return the runs in percentiles; p99 needs 100 jobs."""
    return _rows("run", evidence, samples)
