"""The rows: jobs, comparisons, pools over time, pauses, the audit log, API tokens."""

from poolwise.models.comparison import Batch, Comparison
from poolwise.models.control import ApiToken, AuditEntry, Pause
from poolwise.models.job import ENDED, LIVE, STALLING_S, Job, JobLog, JobQuerySet, JobState, waiting
from poolwise.models.many_rows import lock_rows, update_rows, upsert_rows
from poolwise.models.pools import PinnedDefinition, Pool, PoolConfiguration, PoolSample

__all__ = [
    "ENDED",
    "LIVE",
    "STALLING_S",
    "ApiToken",
    "AuditEntry",
    "Batch",
    "Comparison",
    "Job",
    "JobLog",
    "JobQuerySet",
    "JobState",
    "Pause",
    "PinnedDefinition",
    "Pool",
    "PoolConfiguration",
    "PoolSample",
    "audit",
    "lock_rows",
    "update_rows",
    "upsert_rows",
    "waiting",
]
