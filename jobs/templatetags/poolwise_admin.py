"""The dashboard on the admin's index."""

from datetime import datetime
from typing import Any

from django import template
from django.core.cache import cache
from django.urls import reverse

from jobs import charts, reports, vega
from jobs.reports import WINDOWS, Dashboard, Point, Window

register = template.Library()

#: The figures of a window may be so old: a part of its buckets that nobody sees in the chart.
_KEEP_PART_OF_BUCKET = 1 / 12


@register.inclusion_tag("admin/jobs/dashboard.html", takes_context=True)
def pool_dashboard(context: template.Context) -> dict[str, Any]:
    """Return the pools' figures within the window that the address asks for."""
    request = context["request"]
    if not request.user.has_perm("jobs.view_job"):
        return {}
    window = WINDOWS.get(request.GET.get("window", ""), WINDOWS["1h"])
    found, now = _dashboard(window), reports.pools_now()
    return {
        "dashboard": found,
        "windows": WINDOWS.values(),
        "live": now,
        "rows": [(figures, now.pools.get(figures.name)) for figures in found.pools],
        "chart": None if found.is_empty else charts.backlog_and_service_time(found),
        "partial": max((figures.run.n for figures in found.pools if figures.is_partial), default=0),
        "names": [figures.name for figures in found.pools],
        "buckets": _by_time(found),
        "vega_url": reverse("admin:jobs_vega", args=[vega.bundle_digest()]),
    }


def _dashboard(window: Window) -> Dashboard:
    keep_s = min(60, round(window.bucket_s * _KEEP_PART_OF_BUCKET))
    key = f"poolwise-dashboard-{window.key}"
    found: Dashboard | None = cache.get(key)
    if found is None:
        found = reports.dashboard(window)
        cache.set(key, found, keep_s)
    return found


def _by_time(found: Dashboard) -> list[tuple[datetime, list[Point]]]:
    points = {(point.at, point.pool): point for point in found.points}
    times = sorted({point.at for point in found.points}, reverse=True)
    names = [figures.name for figures in found.pools]
    return [(at, [points.get((at, name), Point(at, name)) for name in names]) for at in times]
