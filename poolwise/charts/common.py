"""What charts share: colours, the time axis, scales of durations."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from math import ceil, floor, log10
from typing import Any

import altair as alt
from altair.utils import schemapi

from poolwise.reports import Dashboard

Spec = dict[str, Any]

# Altair validates every part of a chart and then the whole, half of the time of making one. Tests validate each chart.
schemapi.disable_debug_mode()

#: A contrast of 3:1 with white and near-black, and distinct for the colour-blind (Okabe and Ito).
COLOURS = ("#d55e00", "#0a84c6", "#009e73", "#cc6fa5", "#a07d00", "#7a6ff0", "#808080", "#b5534a")
DASHES = ([1, 0], [7, 3], [2, 2], [9, 3, 2, 3])
#: Labels of durations, each in its unit.
DURATION_LABELS = (
    "datum.value == 0 ? '0' : datum.value < 0.001 ? format(datum.value * 1e6, '~g') + ' µs' : "
    "datum.value < 1 ? format(datum.value * 1000, '~g') + ' ms' : format(datum.value, '~g') + ' s'"
)
#: Above this ratio of largest to smallest, a linear axis would flatten all but the largest.
LOG_ABOVE = 30.0
_ONE_DAY_S = 86_400


def cycle(values: Sequence[Any], length: int) -> list[Any]:
    """Return `length` values, starting again after the last."""
    return [values[index % len(values)] for index in range(length)]


def data(rows: Iterable[Mapping[str, Any]]) -> alt.InlineData:
    """Return rows as the data of a chart."""
    return alt.InlineData(values=[dict(row) for row in rows])


def finished_spec(chart: alt.Chart | Spec) -> Spec:
    """Return the chart as Vega-Lite without Altair's theme: the page's script sets fonts and colours.

    Pass layers and panels as in Vega-Lite, `{"layer": [chart, …]}`: Altair's own `layer` and `concat` copy every part
    of every chart about twenty times, which took most of a page's time.
    """
    datasets: dict[str, Any] = {}
    spec = _described(chart, {"datasets": datasets, "top_level": False})
    return {"$schema": alt.SCHEMA_URL, **spec, "datasets": datasets}


def _described(part: Any, context: dict[str, Any]) -> Any:
    if isinstance(part, Mapping):
        return {key: _described(value, context) for key, value in part.items()}
    if isinstance(part, list):
        return [_described(item, context) for item in part]
    return part.to_dict(validate=False, context=context) if isinstance(part, alt.SchemaBase) else part


def time_axis(figures: Dashboard, *, title: str | None) -> alt.X:
    """Return the time axis over the whole window."""
    scale = alt.Scale(type="utc", domain=[_date(figures.since), _date(figures.made_at)])
    labels = "%H:%M" if figures.window.length_s <= _ONE_DAY_S else "%d %b"
    axis = alt.Axis(title=title, format=labels, labelOverlap=True, tickCount=7, grid=False)
    return alt.X("at:T", scale=scale, axis=axis)


def _date(moment: datetime) -> alt.DateTime:
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


def time_tooltip() -> alt.Tooltip:
    """Return the tooltip of a point's time."""
    return alt.Tooltip(
        "at:T", title="Time, UTC", format="%d %b %H:%M", timeUnit="utcyearmonthdatehoursminutes"
    )


def is_wide(values: Iterable[float | None], above: float = LOG_ABOVE) -> bool:
    """Return whether the largest value is more than `above` times the smallest, so that the axis should be logarithmic."""
    known = [value for value in values if value and value > 0]
    return bool(known) and max(known) / min(known) > above


def log_domain(known: Sequence[float]) -> list[float]:
    """Return the ends of a logarithmic axis of values above 0, with a margin."""
    return [min(known) * 0.85, max(known) * 1.18]


def duration_scale(values: Sequence[float | None]) -> alt.Scale:
    """Return a scale that starts at 0, or a logarithmic one for a wide range."""
    known = [value for value in values if value]
    if is_wide(known):
        return alt.Scale(type="log", domain=log_domain(known), nice=False)
    return alt.Scale(domain=[0, max(known, default=1.0) * 1.05], nice=False)


def duration_axis(values: Sequence[float | None], **options: Any) -> alt.Axis:
    """Return an axis whose labels have their unit; a logarithmic one has ticks at powers of ten."""
    known = [value for value in values if value]
    if is_wide(known):
        low, high = log_domain(known)
        powers = range(ceil(log10(low)), floor(log10(high)) + 1)
        options |= {"values": [float(f"1e{power}") for power in powers]}
    return alt.Axis(labelExpr=DURATION_LABELS, **({"tickCount": 4} | options))
