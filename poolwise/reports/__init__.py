"""Reports: the read side of pages, admin, API and commands; only this room reads many rows.

Now: `queues`, `pools_now`, `notices`. Lists: `job_list`, `lead`, `paging`, `known_pools`; `one_submission` by pool. The
dashboard: `windows` over `ended_jobs`, `by_definition`, `changes`, `epoch`. One job: `timeline`, `time_split`.
"""

from poolwise.reports.by_definition import DefinitionFigures, most_failing, slowest
from poolwise.reports.changes import (
    ConfigurationChange,
    PoolDetails,
    changes,
    difference,
    latest_configurations,
)
from poolwise.reports.job_list import AGES, SEARCH_LIMIT, Counts, JobFilter, JobList, list_jobs
from poolwise.reports.known_pools import known_pools
from poolwise.reports.lead import Lead
from poolwise.reports.notices import CANCEL_LEVELS, REDIS_AWAY, no_coordinator, no_worker
from poolwise.reports.one_submission import Submission, newest_of, submission
from poolwise.reports.paging import COUNT_LIMIT, Page, page_of
from poolwise.reports.pools_now import PoolNow, PoolsNow, pools_now
from poolwise.reports.queues import Queue, queues
from poolwise.reports.time_split import PARTS, on_cpu, ready_waits, stalled_by, time_split
from poolwise.reports.windows import WINDOWS, Dashboard, PoolFigures, PoolPoint, TimeSplit, Window, dashboard

__all__ = [
    "AGES",
    "CANCEL_LEVELS",
    "COUNT_LIMIT",
    "PARTS",
    "REDIS_AWAY",
    "SEARCH_LIMIT",
    "WINDOWS",
    "ConfigurationChange",
    "Counts",
    "Dashboard",
    "DefinitionFigures",
    "JobFilter",
    "JobList",
    "Lead",
    "Page",
    "PoolDetails",
    "PoolFigures",
    "PoolNow",
    "PoolPoint",
    "PoolsNow",
    "Queue",
    "Submission",
    "TimeSplit",
    "Window",
    "changes",
    "dashboard",
    "difference",
    "known_pools",
    "latest_configurations",
    "list_jobs",
    "most_failing",
    "newest_of",
    "no_coordinator",
    "no_worker",
    "on_cpu",
    "page_of",
    "paging",
    "pools_now",
    "queues",
    "ready_waits",
    "slowest",
    "stalled_by",
    "submission",
    "time_split",
    "timeline",
]
