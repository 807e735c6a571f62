"""Reports: the only reader of many rows."""

from jobs.reports.figures import block_figures, comparison_figures, pool_figures
from jobs.reports.now import PoolNow, PoolsNow, pools_now
from jobs.reports.queues import Queue, queues
from jobs.reports.windows import WINDOWS, Dashboard, Point, PoolFigures, Window, dashboard

__all__ = [
    "WINDOWS",
    "Dashboard",
    "Point",
    "PoolFigures",
    "PoolNow",
    "PoolsNow",
    "Queue",
    "Window",
    "block_figures",
    "comparison_figures",
    "dashboard",
    "pool_figures",
    "pools_now",
    "queues",
]
