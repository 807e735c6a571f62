"""Reports: the only reader of many rows."""

from poolwise.reports.by_definition import DefinitionFigures, most_failing, slowest
from poolwise.reports.changes import (
    ConfigurationChange,
    PoolDetails,
    changes,
    difference,
    latest_configurations,
)
from poolwise.reports.job_list import AGES, Counts, JobFilter, JobList, list_jobs
from poolwise.reports.known_pools import known_pools
from poolwise.reports.paging import Page, page_of
from poolwise.reports.pools_now import PoolNow, PoolsNow, pools_now
from poolwise.reports.queues import Queue, queues
from poolwise.reports.windows import (
    WINDOWS,
    Dashboard,
    PoolFigures,
    PoolPoint,
    TimeSplit,
    Window,
    dashboard,
)

__all__ = [
    "AGES",
    "WINDOWS",
    "ConfigurationChange",
    "Counts",
    "Dashboard",
    "DefinitionFigures",
    "JobFilter",
    "JobList",
    "Page",
    "PoolDetails",
    "PoolFigures",
    "PoolNow",
    "PoolPoint",
    "PoolsNow",
    "Queue",
    "TimeSplit",
    "Window",
    "changes",
    "dashboard",
    "difference",
    "known_pools",
    "latest_configurations",
    "list_jobs",
    "most_failing",
    "page_of",
    "pools_now",
    "queues",
    "slowest",
]
