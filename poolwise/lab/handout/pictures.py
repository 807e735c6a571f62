"""The charts of the HTML file as SVG within the page: one for a wide screen, one for a phone, in the page's colours."""

import copy
import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import structlog
from django.utils.safestring import SafeString, mark_safe

from poolwise.charts import export
from poolwise.lab import charts

log = structlog.get_logger(__name__)

#: Widths of the two drawings of a chart, in pixels.
_WIDE, _NARROW = 1080, 340
#: The reader's font may be wider than the one that the legend was measured in.
_LEGEND_GAP = 28
#: A larger chart is not drawn, since its drawings would have a MB: its table has the figures, the bundle has the chart.
MAX_SPEC_CHARS = 200_000
#: HTML knows these namespaces; without them the file contains no address.
_NAMESPACES = re.compile(r' xmlns(:\w+)?="[^"]*"| version="1\.1"')
_IDS = re.compile(r'(?<=\bid=")(?=[^"])|(?<=url\(#)|(?<=href="#)')


@dataclass(frozen=True, slots=True)
class Picture:
    """A chart with its drawings, which are empty where it could not be drawn, or is too large."""

    chart: charts.Chart
    wide: SafeString
    narrow: SafeString


def pictures(made: Mapping[str, charts.Chart]) -> list[Picture]:
    """Return the charts in their order, each drawn for both widths."""
    drawn = _drawn({key: chart.spec for key, chart in made.items() if _is_small(chart.spec)})
    return [
        Picture(chart, *(_within_html(drawn.get(name, ""), f"{name}-") for name in _names(key)))
        for key, chart in made.items()
    ]


def _is_small(spec: export.Spec) -> bool:
    return len(json.dumps(spec, default=str)) <= MAX_SPEC_CHARS


def _names(key: str) -> list[str]:
    return [f"{key}-{width}" for width in (_WIDE, _NARROW)]


def _drawn(specs: Mapping[str, export.Spec]) -> dict[str, str]:
    """Return the drawings by name, made in one process; none when they cannot be drawn."""
    styled = {
        f"{key}-{width}": _styled(spec, width) for key, spec in specs.items() for width in (_WIDE, _NARROW)
    }
    try:
        return export.draw_all(styled) if styled else {}
    except (subprocess.SubprocessError, OSError, ValueError) as error:
        log.warning("cannot draw the charts of a report", error=str(error))
        return {}


def _styled(spec: Mapping[str, Any], width: int) -> export.Spec:
    """Return the chart without its title, which the page has, and without what only a tooltip needs."""
    styled = export.with_look(_shown(spec), width=width)
    styled.pop("title")
    styled["padding"] = 2
    legend = {**styled["config"]["legend"], "columnPadding": _LEGEND_GAP}
    styled["config"] = {**styled["config"], "legend": legend}
    if width == _NARROW:
        for part in _parts(styled):
            _narrow(part)
    return styled


def _shown(part: Any) -> Any:
    """Return a part of a chart without layers of invisible marks."""
    if isinstance(part, Mapping):
        return {key: _shown(value) for key, value in part.items()}
    if isinstance(part, list):
        return [_shown(item) for item in part if not _is_invisible(item)]
    return copy.copy(part)


def _is_invisible(part: Any) -> bool:
    mark = part.get("mark") if isinstance(part, Mapping) else None
    return isinstance(mark, Mapping) and mark.get("opacity") == 0


def _parts(part: Any) -> Iterator[dict[str, Any]]:
    """Yield every object of a chart, without its data."""
    if isinstance(part, dict):
        yield part
        part = [value for key, value in part.items() if key not in ("data", "datasets", "config")]
    for item in part if isinstance(part, list) else ():
        yield from _parts(item)


def _narrow(part: dict[str, Any]) -> None:
    """Make room on a phone: legends in two columns, fewer ticks, no title beside names."""
    if isinstance(legend := part.get("legend"), dict) and "columns" in legend:
        legend["columns"] = 2
    if isinstance(x := part.get("x"), dict) and isinstance(x.get("axis"), dict):
        x["axis"]["tickCount"] = 3
    if isinstance(y := part.get("y"), dict) and isinstance(y.get("axis"), dict) and "labelLimit" in y["axis"]:
        y["axis"]["title"] = None


def _within_html(svg: str, prefix: str) -> SafeString:
    """Return a drawing as a part of a page with other drawings.

    It is safe: Vega escapes texts, and none of our charts has links or pictures.
    """
    return mark_safe(_IDS.sub(prefix, _NAMESPACES.sub("", svg)))  # noqa: S308 - see above
