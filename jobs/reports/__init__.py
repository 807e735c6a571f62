"""Reports: the only reader of many rows."""

from jobs.reports.by_definition import DefinitionFigures, most_failing, slowest
from jobs.reports.changes import ConfigurationChange, PoolDetails, changes, difference, latest_configurations
from jobs.reports.job_list import AGES, Counts, JobFilter, JobList, list_jobs
from jobs.reports.known import known_pools
from jobs.reports.now import PoolNow, PoolsNow, pools_now
from jobs.reports.paging import Page, page_of
from jobs.reports.queues import Queue, queues
from jobs.reports.windows import WINDOWS, Dashboard, PoolFigures, PoolPoint, TimeSplit, Window, dashboard

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
