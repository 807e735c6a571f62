"""Template tags and filters of the pages: bars, times, and how values are formatted."""

from datetime import datetime
from typing import Any

from django import template
from django.utils import timezone
from django.utils.html import conditional_escape, format_html, format_html_join
from django.utils.safestring import SafeString

from poolwise.support import formats

register = template.Library()
for show in (formats.seconds, formats.percent, formats.parameters, formats.parameter_value):
    register.filter(show.__name__, show)


@register.filter
def seconds_left(value: float) -> str:
    """Return an estimated duration, rounded."""
    whole = max(1, round(value))
    if whole < 90:
        return f"{whole if whole < 10 else round(whole, -1) if whole > 30 else whole} s"
    return f"{round(whole / 60)} min" if whole < 5400 else f"{whole / 3600:.1f} h"


@register.filter
def with_code(text: str) -> SafeString:
    """Return text with `code` as HTML code elements."""
    parts = text.split("`")
    if len(parts) % 2 == 0:  # an unpaired backtick is text
        return conditional_escape(text)
    return format_html_join(
        "", "{}", [[format_html("<code>{}</code>", part) if i % 2 else part] for i, part in enumerate(parts)]
    )


@register.filter
def username(user: Any) -> str:
    """Return the user of a job or comparison."""
    return user.get_username() if user else "code (no user)"


@register.inclusion_tag("poolwise/_bar.html")
def bar(pieces: list[Any]) -> dict[str, Any]:
    """Draw a job's time as a horizontal bar."""
    return {"pieces": pieces}


@register.simple_tag
def moment(value: datetime | None, *, style: str = "ago") -> SafeString | str:
    """Return a time element that the page's script updates: `ago`, `since` (still counting) or `exact`."""
    if value is None:
        return "–"
    local = timezone.localtime(value)
    stamp = f"{local:%d %b %Y, %H:%M:%S}" + (f".{local.microsecond // 1000:03}" if style == "exact" else "")
    return format_html(
        '<time datetime="{}" data-time="{}">{}</time>', local.isoformat(), style, f"{stamp} {local:%Z}"
    )
