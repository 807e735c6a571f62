"""Reports: the only reader of many rows."""

from jobs.reports.figures import (
    Run,
    block_figures,
    comparison_figures,
    counted,
    first_published,
    pool_figures,
    read_runs,
)
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
    "Run",
    "Window",
    "block_figures",
    "comparison_figures",
    "counted",
    "dashboard",
    "first_published",
    "pool_figures",
    "pools_now",
    "queues",
    "read_runs",
]
