"""How many jobs of a batch ran at once, over time."""

from collections.abc import Sequence

import altair as alt

from poolwise.charts import common
from poolwise.lab.charts.common import ChartTable, Samples, Spec, duration_axis, pool_colour
from poolwise.lab.report import Report, Sample, VariantFigures
from poolwise.lab.statistics import running_over_time

_MOST_POINTS = 400

type Steps = list[tuple[float, int]]


def _steps(jobs: Sequence[Sample]) -> Steps:
    """Return (seconds since the batch began, jobs running from then on)."""
    intervals = [interval for job in jobs if (interval := job.interval) is not None]
    if not intervals:
        return []
    first_start = min(start for start, _ in intervals)
    published = (job.published_at.timestamp() for job in jobs if job.published_at is not None)
    wait_s = first_start - min(published, default=first_start)
    return _thinned([(0.0, 0), *((wait_s + at, running) for at, running in running_over_time(intervals))])


def _thinned(steps: Steps) -> Steps:
    """Return at most _MOST_POINTS steps or so, the highest of each group, so that peaks stay."""
    width = -(-len(steps) // _MOST_POINTS)
    groups = (steps[at : at + width] for at in range(0, len(steps), width))
    return [*(max(group, key=lambda step: step[1]) for group in groups), steps[-1]]


def _curves(report: Report, samples: Samples) -> dict[str, Steps]:
    """Return each pool's steps in the round with the median makespan."""
    curves = {}
    for pool in report.pools:
        batches = sorted(pool.counted, key=lambda batch: batch.makespan_s or 0.0)
        if batches:
            middle = batches[len(batches) // 2]
            batch = ("measured", pool.name, middle.round, middle.slots)
            own = [job for job in samples if (job.role, job.pool, job.round, job.slots) == batch]
            if steps := _steps(own):
                curves[pool.name] = steps
    return curves


def _possible(pool: VariantFigures) -> int:
    """Return how many jobs could run at once: the slots, or all copies of a batch where these are fewer."""
    copies = max((batch.jobs for batch in pool.counted), default=1)
    return max(1, min(pool.slots or 1, copies))


def draw_concurrency(report: Report, samples: Samples) -> Spec:
    """Return one panel per pool: jobs at once over the batch, with a dashed line at the maximum possible."""
    curves = _curves(report, samples)
    panels = [_panel(report, pool, curves[pool.name]) for pool in report.pools if pool.name in curves]
    return common.finished_spec({"concat": panels, "columns": 2, "spacing": 26})


def _panel(report: Report, pool: VariantFigures, steps: Steps) -> Spec:
    possible = _possible(pool)
    most = max(possible, *(running for _, running in steps))
    rows = [{"pool": pool.name, "s": at, "running": running} for at, running in steps]
    y_axis = alt.Axis(title="Jobs at once", tickMinStep=1, tickCount=4, format="d")
    y = alt.Y("running:Q", axis=y_axis, scale=alt.Scale(domain=[0, most * 1.12], nice=False))
    x = alt.X("s:Q", axis=duration_axis("Since the batch began"), scale=alt.Scale(zero=True, nice=False))
    tips = [alt.Tooltip("pool:N", title="Pool"), alt.Tooltip("s:Q", title="Seconds", format=".3~g"),
            alt.Tooltip("running:Q", title="Jobs at once")]  # fmt: skip
    base = alt.Chart(common.data(rows)).encode(x=x, color=pool_colour(report, legend=False))
    area = base.mark_area(interpolate="step-after", opacity=0.22, line=False).encode(y=y)
    line = base.mark_line(interpolate="step-after", strokeWidth=2).encode(y=y, tooltip=tips)
    limit = (
        alt.Chart(common.data([{"n": possible}]))
        .mark_rule(strokeDash=[5, 4], strokeWidth=1.4)
        .encode(y="n:Q")
    )
    title = {"text": f"{pool.name}: {possible} possible", "fontSize": 13}
    return {"layer": [area, line, limit], "title": title, "height": 120, "width": 400}


def rows_of_concurrency(report: Report, samples: Samples) -> ChartTable | None:
    """Return peak and time average of each pool, over its rounds."""
    rows = [_row(pool) for pool in report.pools if pool.counted]
    has_curve = rows and _curves(report, samples)
    return (["Pool", "Slots", "Possible", "Peak", "Time average"], rows) if has_curve else None


def _row(pool: VariantFigures) -> list[str]:
    reached = [batch.concurrency for batch in pool.counted]
    peak, mean = max(batch.peak for batch in reached), sum(batch.mean for batch in reached) / len(reached)
    return [pool.name, str(pool.slots or "–"), str(_possible(pool)), str(peak), f"{mean:.1f}"]
