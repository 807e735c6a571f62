"""Reports: the only reader of many rows."""

from jobs.reports.dashboard import WINDOWS, Dashboard, Point, PoolFigures, Queue, Window, dashboard, queues
from jobs.reports.figures import block_figures, comparison_figures, pool_figures

__all__ = [
    "WINDOWS",
    "Dashboard",
    "Point",
    "PoolFigures",
    "Queue",
    "Window",
    "block_figures",
    "comparison_figures",
    "dashboard",
    "pool_figures",
    "queues",
]
