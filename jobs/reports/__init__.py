"""Reports: the only reader of many rows."""

from jobs.reports.by_definition import DefinitionFigures, most_failing, slowest
from jobs.reports.changes import Change, Facts, changes, difference, latest_configurations
from jobs.reports.figures import (
    Run,
    block_figures,
    comparison_figures,
    counted,
    first_published,
    pool_figures,
    read_runs,
    with_speed_up,
)
from jobs.reports.job_list import AGES, Counts, JobFilter, JobList, list_jobs
from jobs.reports.known import known_pools
from jobs.reports.now import PoolNow, PoolsNow, pools_now
from jobs.reports.paging import Page, page_of
from jobs.reports.queues import Queue, queues
from jobs.reports.windows import WINDOWS, Dashboard, Point, PoolFigures, TimeSplit, Window, dashboard

__all__ = [
    "AGES",
    "WINDOWS",
    "Change",
    "Counts",
    "Dashboard",
    "DefinitionFigures",
    "Facts",
    "JobFilter",
    "JobList",
    "Page",
    "Point",
    "PoolFigures",
    "PoolNow",
    "PoolsNow",
    "Queue",
    "Run",
    "TimeSplit",
    "Window",
    "block_figures",
    "changes",
    "comparison_figures",
    "counted",
    "dashboard",
    "difference",
    "first_published",
    "known_pools",
    "latest_configurations",
    "list_jobs",
    "most_failing",
    "page_of",
    "pool_figures",
    "pools_now",
    "queues",
    "read_runs",
    "slowest",
    "with_speed_up",
]
