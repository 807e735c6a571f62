"""What the dashboard's charts share: colours, the axis of time, scales of durations."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from math import ceil, floor, log10
from typing import Any

import altair as alt
from altair.utils import schemapi

from poolwise.reports import Dashboard

Spec = dict[str, Any]

# Altair checks every part against its schema when it is made, and the whole again: half of the time of charts that
# code alone makes. The tests check each.
schemapi.disable_debug_mode()

#: Colours that keep 3:1 against white and against near-black, and apart for the colour-blind (Okabe and Ito).
COLOURS = ("#d55e00", "#0a84c6", "#009e73", "#cc6fa5", "#a07d00", "#7a6ff0", "#808080", "#b5534a")
DASHES = ([1, 0], [7, 3], [2, 2], [9, 3, 2, 3])
#: Ticks of durations in the unit that suits each.
DURATION_LABELS = (
    "datum.value == 0 ? '0' : datum.value < 0.001 ? format(datum.value * 1e6, '~g') + ' µs' : "
    "datum.value < 1 ? format(datum.value * 1000, '~g') + ' ms' : format(datum.value, '~g') + ' s'"
)
#: Above this ratio of largest to smallest, a linear axis would flatten all but the largest.
LOG_ABOVE = 30.0
_ONE_DAY_S = 86_400


def cycle(values: Sequence[Any], length: int) -> list[Any]:
    """Return as many values as asked for, from the first again after the last."""
    return [values[index % len(values)] for index in range(length)]


def data(rows: Iterable[Mapping[str, Any]]) -> alt.InlineData:
    """Return rows as the data of a chart."""
    return alt.InlineData(values=[dict(row) for row in rows])


def finished_spec(chart: alt.Chart | Spec) -> Spec:
    """Return the chart as Vega-Lite without Altair's own look: the page's script brings fonts and colours.

    Charts that lie over each other or side by side are given as Vega-Lite has them, `{"layer": [chart, …]}`: Altair's
    own `layer` and `concat` copy every part of every chart some twenty times, most of a page's time.
    """
    datasets: dict[str, Any] = {}
    spec = _described(chart, {"datasets": datasets, "top_level": False})
    return {"$schema": alt.SCHEMA_URL, **spec, "datasets": datasets}


def _described(part: Any, context: dict[str, Any]) -> Any:
    if isinstance(part, Mapping):
        return {key: _described(value, context) for key, value in part.items()}
    if isinstance(part, list):
        return [_described(one, context) for one in part]
    return part.to_dict(validate=False, context=context) if isinstance(part, alt.SchemaBase) else part


def time_axis(found: Dashboard, *, title: str | None) -> alt.X:
    """Return the axis of time, the whole window wide."""
    scale = alt.Scale(type="utc", domain=[_date(found.since), _date(found.made_at)])
    labels = "%H:%M" if found.window.length_s <= _ONE_DAY_S else "%d %b"
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
    """Return the moment of a point, for its tooltip."""
    return alt.Tooltip(
        "at:T", title="Time, UTC", format="%d %b %H:%M", timeUnit="utcyearmonthdatehoursminutes"
    )


def is_wide(values: Iterable[float | None], above: float = LOG_ABOVE) -> bool:
    """Return whether the values span so much, by a factor, that only a logarithmic axis shows them all."""
    known = [value for value in values if value and value > 0]
    return bool(known) and max(known) / min(known) > above


def log_domain(known: Sequence[float]) -> list[float]:
    """Return the ends of a logarithmic axis of values above 0, with room at both."""
    return [min(known) * 0.85, max(known) * 1.18]


def duration_scale(values: Sequence[float | None]) -> alt.Scale:
    """Return a scale that starts at 0, or a logarithmic one where the durations span much."""
    known = [value for value in values if value]
    if is_wide(known):
        return alt.Scale(type="log", domain=log_domain(known), nice=False)
    return alt.Scale(domain=[0, max(known, default=1.0) * 1.05], nice=False)


def duration_axis(values: Sequence[float | None], **options: Any) -> alt.Axis:
    """Return an axis whose labels carry their unit; of a logarithmic one, the powers of ten."""
    known = [value for value in values if value]
    if is_wide(known):
        low, high = log_domain(known)
        powers = range(ceil(log10(low)), floor(log10(high)) + 1)
        options |= {"values": [float(f"1e{power}") for power in powers]}
    return alt.Axis(labelExpr=DURATION_LABELS, **({"tickCount": 4} | options))
