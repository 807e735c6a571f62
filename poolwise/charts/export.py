"""Charts as SVG and PNG without a browser, drawn by vl-convert."""

import copy
import hashlib
import json
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from django.core.cache import cache

Spec = dict[str, Any]

#: By file extension.
CONTENT_TYPES = {"svg": "image/svg+xml", "png": "image/png"}
_KEEP_S = 3_600
_TIMEOUT_S = 120
_WIDTH = 860
#: Below this width panels stand below one another.
_TWO_COLUMNS = 600
_INK, _SOFT, _LINE = "#16212b", "#566573", "#c5ced6"
_DRAW = """
import sys, vl_convert
spec = sys.stdin.read()
if sys.argv[1] == "svg":
    sys.stdout.buffer.write(vl_convert.vegalite_to_svg(spec).encode())
else:
    sys.stdout.buffer.write(vl_convert.vegalite_to_png(spec, scale=2))
"""
_DRAW_ALL = """
import json, sys, vl_convert
specs = json.load(sys.stdin)
json.dump({key: vl_convert.vegalite_to_svg(spec) for key, spec in specs.items()}, sys.stdout)
"""
_LABELS = {
    "labelColor": _SOFT,
    "titleColor": _INK,
    "labelFontSize": 12,
    "titleFontSize": 12,
    "titleFontWeight": 500,
}
CONFIG: Spec = {
    "background": "#ffffff",
    "font": "Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif",
    "padding": 18,
    "view": {"stroke": None},
    "title": {"color": _INK, "subtitleColor": _SOFT, "anchor": "start", "frame": "group", "fontSize": 17, "offset": 12,
              "subtitleFontSize": 12.5, "subtitlePadding": 5},
    "axis": {**_LABELS, "gridColor": "#e4e9ed", "domainColor": _LINE, "tickColor": _LINE, "titlePadding": 10},
    "legend": {**_LABELS, "labelFontSize": 13, "titleFontSize": 13, "symbolStrokeWidth": 2.5},
    "text": {"fill": _INK},
    "rule": {"color": _INK},
    "tick": {"color": _INK},
}  # fmt: skip


def with_look(spec: Mapping[str, Any], subtitle: str = "", *, width: int = _WIDTH) -> Spec:
    """Return a chart in the style of an image file: light, `width` pixels wide, with a subtitle."""
    drawn = copy.deepcopy(dict(spec))
    title = drawn.get("title", "")
    drawn |= {"config": CONFIG, "title": {"text": title, "subtitle": subtitle} if subtitle else title}
    panels = drawn.get("concat")
    if panels is None:
        drawn |= {"width": width, "autosize": {"type": "fit-x", "contains": "padding"}}
    elif width < _TWO_COLUMNS:
        drawn["columns"] = 1
    for panel in panels or ():
        panel["width"] = width // drawn.get("columns", 2) - 70
    return drawn


def draw(spec: Mapping[str, Any], kind: str, *, subtitle: str = "") -> bytes:
    """Return the chart as `svg` or `png`. Raise CalledProcessError when drawing fails, KeyError for another kind."""
    CONTENT_TYPES[kind]
    text = json.dumps(with_look(spec, subtitle), default=str)
    key = f"poolwise-picture-{kind}-{hashlib.sha256(text.encode()).hexdigest()}"
    picture: bytes | None = cache.get(key)
    if picture is None:
        picture = _drawn(text, kind)
        cache.set(key, picture, _KEEP_S)
    return picture


def draw_all(specs: Mapping[str, Spec]) -> dict[str, str]:
    """Return charts as SVG by key, drawn in one process, since each takes a second to start. Raise as `draw`."""
    drawn: dict[str, str] = json.loads(run_script(_DRAW_ALL, text=json.dumps(specs, default=str)))
    return drawn


def _drawn(text: str, kind: str) -> bytes:
    return run_script(_DRAW, kind, text=text)


def run_script(script: str, *arguments: str, text: str = "") -> bytes:
    """Run a script of vl-convert in another process: its JavaScript engine takes 120 MB as long as its process runs."""
    command = [sys.executable, "-I", "-c", script, *arguments]
    done = subprocess.run(command, input=text.encode(), check=True, capture_output=True, timeout=_TIMEOUT_S)  # noqa: S603
    return done.stdout
