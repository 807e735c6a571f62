"""Reports: the only reader of many rows."""

from jobs.reports.by_definition import DefinitionFigures, most_failing, slowest
from jobs.reports.changes import Change, Facts, changes, difference, latest_configurations
from jobs.reports.known import known_pools
from jobs.reports.now import PoolNow, PoolsNow, pools_now
from jobs.reports.queues import Queue, queues
from jobs.reports.windows import WINDOWS, Dashboard, Point, PoolFigures, TimeSplit, Window, dashboard

__all__ = [
    "WINDOWS",
    "Change",
    "Dashboard",
    "DefinitionFigures",
    "Facts",
    "Point",
    "PoolFigures",
    "PoolNow",
    "PoolsNow",
    "Queue",
    "TimeSplit",
    "Window",
    "changes",
    "dashboard",
    "difference",
    "known_pools",
    "latest_configurations",
    "most_failing",
    "pools_now",
    "queues",
    "slowest",
]
