"""One scale for the same chart of two comparisons, so that equal lengths mean equal values."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from poolwise.charts import common
from poolwise.lab.charts import Chart
from poolwise.lab.charts.common import log_ticks

#: A share always goes from 0 to 1; slots are powers of two.
_FIXED = ("share", "slots")
_CHANNELS = ("x", "y")

type Encoding = dict[str, Any]


def on_one_scale(charts: Sequence[Chart]) -> list[Chart]:
    """Return the charts with the same domains of their axes."""
    specs = [_copied(chart.spec) for chart in charts]
    encodings = [encoding for spec in specs for encoding in _quantities(spec)]
    for field in dict.fromkeys(encoding["field"] for encoding in encodings):
        own = [encoding for encoding in encodings if encoding["field"] == field]
        values = [value for spec in specs for value in _values(spec, field)]
        if values:
            _set_domain(own, values)
    return [replace(chart, spec=spec) for chart, spec in zip(charts, specs, strict=True)]


def _copied(part: Any) -> Any:
    if isinstance(part, dict):
        return {key: _copied(value) for key, value in part.items()}
    return [_copied(item) for item in part] if isinstance(part, list) else part


def _quantities(part: Any) -> Iterator[Encoding]:
    """Yield the quantitative axes of every layer and panel."""
    if not isinstance(part, dict):
        return
    for channel in _CHANNELS:
        axis = part.get("encoding", {}).get(channel, {})
        if axis.get("type") == "quantitative" and axis.get("field") not in (None, *_FIXED):
            yield axis
    for key in ("layer", "concat"):
        for inner in part.get(key, ()):
            yield from _quantities(inner)


def _values(spec: Mapping[str, Any], field: str) -> list[float]:
    rows = [row for rows in spec.get("datasets", {}).values() for row in rows if row.get(field) is not None]
    if not any("rank" in row for row in rows):
        return [float(row[field]) for row in rows]
    sums: dict[str, float] = {}  # stacked parts
    for row in rows:
        sums[row["pool"]] = sums.get(row["pool"], 0.0) + float(row[field])
    return list(sums.values())


def _set_domain(encodings: Sequence[Encoding], values: Sequence[float]) -> None:
    known = [value for value in values if value > 0]
    has_log = any((encoding.get("scale") or {}).get("type") == "log" for encoding in encodings)
    if has_log and common.is_wide(known, 1.0):
        scale: dict[str, Any] = {"type": "log", "domain": common.log_domain(known), "nice": False}
        ticks: dict[str, Any] = {"values": log_ticks(min(known), max(known))}
    else:
        is_from_zero = all((encoding.get("scale") or {}).get("zero", True) for encoding in encodings)
        low, high = 0.0 if is_from_zero else min(values), max(values)
        domain = [low, high + ((high - low) * 0.05 or 1.0)]
        scale, ticks = {"domain": domain, "zero": False, "nice": False}, {"tickCount": 5}
    for encoding in encodings:
        encoding["scale"] = scale
        if axis := encoding.get("axis"):
            kept = {key: value for key, value in axis.items() if key not in ("values", "tickCount")}
            encoding["axis"] = kept | ticks
