"""Warn of jobs whose pool is no longer declared in the settings: they wait until an operator acts."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import structlog

from poolwise.pools import all_pools
from poolwise.reports import Queue

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class UndeclaredPools:
    """Warns once per pool for as long as jobs wait there."""

    _warned: set[str] = field(default_factory=set)

    def warn(self, queues: Mapping[str, Queue]) -> None:
        """Warn of each pool that is not declared and has jobs queued."""
        declared = all_pools()
        waiting = {
            name: queue.queued + queue.scheduled for name, queue in queues.items() if name not in declared
        }
        undeclared = {name for name, jobs in waiting.items() if jobs}
        for name in sorted(undeclared - self._warned):
            log.warning(
                "jobs wait on a pool that JOB_POOLS does not declare; declare it again, or purge it",
                pool=name,
                jobs=waiting[name],
            )
        self._warned = undeclared
