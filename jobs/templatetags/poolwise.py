"""How values read on the pages."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django import template
from django.utils import timezone
from django.utils.html import conditional_escape, format_html, format_html_join
from django.utils.safestring import SafeString

register = template.Library()

_MAX_SHOWN_PARAMETERS_CHARS = 160


@register.filter
def seconds(value: float | None) -> str:
    """Return a duration in the unit that suits it: 0.4 ms, 12 ms, 1.25 s, 2 min 05 s, 1 h 02 min."""
    if value is None:
        return "–"
    if value < 0.01:
        return f"{value * 1000:.1f} ms"
    if value < 1:
        return f"{value * 1000:.0f} ms"
    if value < 60:
        return f"{value:.2f} s"
    whole = round(value)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


@register.filter
def percent(share: float | None) -> str:
    """Return a share of 1 as a percentage."""
    if share is None:
        return "–"
    return f"{share * 100:.1f} %" if 0 < share < 0.0995 else f"{share * 100:.0f} %"


@register.filter
def parameters(params: Mapping[str, Any]) -> str:
    """Return parameters as one short line."""
    text = ", ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in params.items())
    return text if len(text) <= _MAX_SHOWN_PARAMETERS_CHARS else text[: _MAX_SHOWN_PARAMETERS_CHARS - 1] + "…"


@register.filter
def pretty(value: Any) -> str:
    """Return a value as indented JSON."""
    return json.dumps(value, ensure_ascii=False, indent=2)


@register.filter
def with_code(text: str) -> SafeString:
    """Return a docstring's text with `code` marked up."""
    parts = text.split("`")
    if len(parts) % 2 == 0:  # an odd backtick stands for itself
        return conditional_escape(text)
    return format_html_join(
        "", "{}", [[format_html("<code>{}</code>", part) if i % 2 else part] for i, part in enumerate(parts)]
    )


@register.inclusion_tag("jobs/_bar.html")
def bar(pieces: list[Any]) -> dict[str, Any]:
    """Draw a job's time as a horizontal bar."""
    return {"pieces": pieces}


@register.simple_tag
def moment(value: datetime | None, *, style: str = "ago") -> SafeString | str:
    """Return a time element that the page's script keeps current: `ago`, `since` (it runs on), `exact`."""
    if value is None:
        return "–"
    local = timezone.localtime(value)
    stamp = f"{local:%d %b %Y, %H:%M:%S}" + (f".{local.microsecond // 1000:03}" if style == "exact" else "")
    return format_html(
        '<time datetime="{}" data-time="{}">{}</time>', local.isoformat(), style, f"{stamp} {local:%Z}"
    )


@register.filter
def parameter_value(value: Any) -> str:
    """Return one parameter as a person would type it, a list with one item a line."""
    if isinstance(value, list) and value and all(isinstance(item, str | int | float) for item in value):
        return "\n".join(map(str, value))
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
