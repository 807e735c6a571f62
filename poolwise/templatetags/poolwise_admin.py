"""The dashboard of the admin's index."""

from datetime import datetime
from typing import Any

from django import template
from django.core.cache import cache

from poolwise import reports
from poolwise.charts import vega
from poolwise.lab import latest
from poolwise.reports import WINDOWS, Dashboard, PoolPoint, Window

register = template.Library()

#: How old cached figures may be, in buckets of the window: too little to see in the chart.
_MAX_AGE_BUCKETS = 1 / 4
_SHOWN = 5


@register.inclusion_tag("admin/poolwise/dashboard.html", takes_context=True)
def pool_dashboard(context: template.Context) -> dict[str, Any]:
    """Return the pools' figures within the window that the URL names."""
    request = context["request"]
    if not request.user.has_perm("poolwise.view_job"):
        return {}
    window = WINDOWS.get(request.GET.get("window", ""), WINDOWS["1h"])
    board, now = _board(window), reports.pools_now()
    dashboard: Dashboard = board["dashboard"]
    return {
        **board,
        "windows": WINDOWS.values(),
        "live": now,
        "rows": [(figures, now.pools.get(figures.name)) for figures in dashboard.pools],
        "partial": max((figures.run.n for figures in dashboard.pools if figures.is_partial), default=0),
        "names": [figures.name for figures in dashboard.pools],
        "buckets": _by_time(dashboard),
        "vega_url": vega.script_url(),
    }


def _board(window: Window) -> dict[str, Any]:
    keep_s = min(60, round(window.bucket_s * _MAX_AGE_BUCKETS))
    key = f"poolwise-dashboard-{window.key}"
    board: dict[str, Any] | None = cache.get(key)
    if board is None:
        board = _new_board(window)
        cache.set(key, board, keep_s)
    return board


def _new_board(window: Window) -> dict[str, Any]:
    # Imported here: every process that renders a page imports this module, and Altair is slow to load.
    from poolwise.charts import dashboard as charts

    dashboard = reports.dashboard(window)
    has_runs = any(figures.run.n for figures in dashboard.pools)
    return {
        "dashboard": dashboard,
        "pool_load": None if dashboard.is_empty else charts.pool_load(dashboard),
        "percentiles": charts.percentiles(dashboard) if has_runs else None,
        "time_split": charts.time_split(dashboard) if any(pool.time.n for pool in dashboard.pools) else None,
        "slowest": reports.slowest(dashboard.definitions, _SHOWN),
        "most_failing": reports.most_failing(dashboard.definitions, _SHOWN),
        "answers": latest.newest_answers(_SHOWN),
        "misplaced": latest.misplaced(
            {definition.name: definition.pools for definition in dashboard.definitions if definition.pools}
        ),
        "changes": dashboard.changes[: -4 * _SHOWN : -1],
    }


def _by_time(dashboard: Dashboard) -> list[tuple[datetime, list[PoolPoint]]]:
    points = {(point.at, point.pool): point for point in dashboard.points}
    times = sorted({point.at for point in dashboard.points}, reverse=True)
    names = [figures.name for figures in dashboard.pools]
    return [(at, [points.get((at, name), PoolPoint(at, name)) for name in names]) for at in times]
