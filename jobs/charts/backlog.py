"""Charts, declared in Altair and drawn in the browser by Vega under the strict content policy.

Altair is imported where a chart is made: the admin is imported by every process, workers included.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

from jobs.reports import Dashboard, Point

if TYPE_CHECKING:
    import altair as alt

Spec = dict[str, Any]

#: Colours that keep 3:1 against white and against near-black, and apart for the colour-blind (Okabe and Ito).
COLOURS = ("#d55e00", "#0a84c6", "#009e73", "#cc6fa5", "#a07d00", "#7a6ff0", "#808080", "#b5534a")
DASHES = ([1, 0], [7, 3], [2, 2], [9, 3, 2, 3])
#: Above this ratio of largest to smallest, a linear axis would flatten all but the largest.
_LOG_ABOVE = 30.0
_ONE_DAY_S = 86_400


def backlog_and_service_time(found: Dashboard) -> Spec:
    """Return the Vega-Lite chart that pairs each pool's backlog with its service time on one time axis."""
    import altair as alt

    rows = [_record(point) for point in found.points]
    base = alt.Chart(alt.InlineData(values=rows)).encode(color=_pools(found), strokeDash=_dashes(found))
    backlog = _panel(
        base.encode(x=_time_axis(found, title=None)),
        alt.Y("queued:Q", title="Jobs queued", scale=alt.Scale(nice=True, domainMin=0)),
    )
    service = _panel(
        base.encode(x=_time_axis(found, title="Time, UTC")),
        alt.Y("run_p50_s:Q", title="Median run, s", scale=_duration_scale(found.points)),
    )
    chart = alt.vconcat(
        backlog.properties(title="Backlog", width=600, height=170),
        service.properties(title="Service time", width=600, height=170),
        spacing=18,
    ).resolve_scale(x="shared")
    spec: Spec = chart.to_dict()
    del spec["config"]  # the page's script brings fonts and colours of the theme in use
    return spec


def _record(point: Point) -> dict[str, Any]:
    return {
        "at": point.at.isoformat(),
        "pool": point.pool,
        "queued": None if point.queued is None else round(point.queued, 2),
        "queued_max": point.queued_max,
        "run_p50_s": point.run_p50_s,
    }


def _time_axis(found: Dashboard, *, title: str | None) -> "alt.X":
    import altair as alt

    scale = alt.Scale(type="utc", domain=[_date(found.since), _date(found.made_at)])
    labels = "%H:%M" if found.window.length_s <= _ONE_DAY_S else "%d %b"
    axis = alt.Axis(title=title, format=labels, labelOverlap=True, tickCount=7, grid=False)
    return alt.X("at:T", scale=scale, axis=axis)


def _date(moment: datetime) -> "alt.DateTime":
    import altair as alt

    at = moment.astimezone(UTC)
    return alt.DateTime(
        year=at.year,
        month=at.month,
        date=at.day,
        hours=at.hour,
        minutes=at.minute,
        seconds=at.second,
        utc=True,
    )


def _names(found: Dashboard) -> list[str]:
    return [pool.name for pool in found.pools]


def _cycle(values: Sequence[Any], length: int) -> list[Any]:
    return [values[index % len(values)] for index in range(length)]


def _pools(found: Dashboard) -> "alt.Color":
    import altair as alt

    names = _names(found)
    scale = alt.Scale(domain=names, range=_cycle(COLOURS, len(names)))
    legend = alt.Legend(orient="top", direction="horizontal", symbolType="stroke", symbolSize=260, columns=4)
    return alt.Color("pool:N", title="Pool", scale=scale, legend=legend)


def _dashes(found: Dashboard) -> "alt.StrokeDash":
    import altair as alt

    names = _names(found)
    scale = alt.Scale(domain=names, range=_cycle(DASHES, len(names)))
    return alt.StrokeDash("pool:N", title="Pool", scale=scale)


def _duration_scale(points: Sequence[Point]) -> "alt.Scale":
    import altair as alt

    known = [point.run_p50_s for point in points if point.run_p50_s]
    if known and max(known) / min(known) > _LOG_ABOVE:
        return alt.Scale(type="log", nice=True, domainMin=min(known))
    return alt.Scale(nice=True, domainMin=0)


def _panel(base: "alt.Chart", y: "alt.Y") -> "alt.LayerChart":
    import altair as alt

    tooltip = [
        alt.Tooltip("pool:N", title="Pool"),
        alt.Tooltip("at:T", title="Time, UTC", format="%d %b %H:%M", timeUnit="utcyearmonthdatehoursminutes"),
        alt.Tooltip("queued:Q", title="Queued, mean", format=".1f"),
        alt.Tooltip("queued_max:Q", title="Queued, most"),
        alt.Tooltip("run_p50_s:Q", title="Median run, s", format=".3~g"),
    ]
    lines = base.mark_line(strokeWidth=2).encode(y=y)
    # A point of its own shows a bucket whose neighbours are empty; the one unseen is what the pointer hits.
    points = base.mark_circle(size=14, opacity=1).encode(y=y)
    targets = base.mark_circle(size=220, opacity=0).encode(y=y, tooltip=tooltip)
    return cast("alt.LayerChart", alt.layer(lines, points, targets))
