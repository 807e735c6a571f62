"""The dashboard on the admin's index."""

from datetime import datetime
from typing import Any

from django import template
from django.core.cache import cache

from poolwise import reports
from poolwise.charts import vega
from poolwise.lab import latest
from poolwise.reports import WINDOWS, Dashboard, PoolPoint, Window

register = template.Library()

#: The figures of a window may be so old: a part of its buckets that nobody sees in the chart.
_KEEP_PART_OF_BUCKET = 1 / 4
_SHOWN = 5


@register.inclusion_tag("admin/poolwise/dashboard.html", takes_context=True)
def pool_dashboard(context: template.Context) -> dict[str, Any]:
    """Return the pools' figures within the window that the address asks for."""
    request = context["request"]
    if not request.user.has_perm("poolwise.view_job"):
        return {}
    window = WINDOWS.get(request.GET.get("window", ""), WINDOWS["1h"])
    board, now = _board(window), reports.pools_now()
    found: Dashboard = board["dashboard"]
    return {
        **board,
        "windows": WINDOWS.values(),
        "live": now,
        "rows": [(figures, now.pools.get(figures.name)) for figures in found.pools],
        "partial": max((figures.run.n for figures in found.pools if figures.is_partial), default=0),
        "names": [figures.name for figures in found.pools],
        "buckets": _by_time(found),
        "vega_url": vega.script_url(),
    }


def _board(window: Window) -> dict[str, Any]:
    keep_s = min(60, round(window.bucket_s * _KEEP_PART_OF_BUCKET))
    key = f"poolwise-dashboard-{window.key}"
    board: dict[str, Any] | None = cache.get(key)
    if board is None:
        board = _made(window)
        cache.set(key, board, keep_s)
    return board


def _made(window: Window) -> dict[str, Any]:
    from poolwise.charts import (
        dashboard as charts,  # here alone: every process that renders a page imports this module
    )

    found = reports.dashboard(window)
    has_runs = any(figures.run.n for figures in found.pools)
    return {
        "dashboard": found,
        "pool_load": None if found.is_empty else charts.pool_load(found),
        "percentiles": charts.percentiles(found) if has_runs else None,
        "time_split": charts.time_split(found) if any(pool.time.n for pool in found.pools) else None,
        "slowest": reports.slowest(found.definitions, _SHOWN),
        "most_failing": reports.most_failing(found.definitions, _SHOWN),
        "verdicts": latest.newest_verdicts(_SHOWN),
        "misplaced": latest.misplaced({one.name: one.pools for one in found.definitions if one.pools}),
        "changes": found.changes[: -4 * _SHOWN : -1],
    }


def _by_time(found: Dashboard) -> list[tuple[datetime, list[PoolPoint]]]:
    points = {(point.at, point.pool): point for point in found.points}
    times = sorted({point.at for point in found.points}, reverse=True)
    names = [figures.name for figures in found.pools]
    return [(at, [points.get((at, name), PoolPoint(at, name)) for name in names]) for at in times]
