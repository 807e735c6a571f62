"""Database connections of threads that serve many jobs, one after the other: no job gets one that another has used.

Whatever a job may do to a connection (an open transaction, changed autocommit, a `search_path` or another setting of the
session, a raw connection that is closed), only a new connection is sure to be free of it.
"""

import logging
from collections.abc import Callable
from typing import Any

from poolwise.support import original

logger = logging.getLogger("celery.pool")

#: The last job that each native thread worked for.
_LAST = original("_thread", "_local")()
#: Kept, since closing them would end the sessions of the process that opened them.
_INHERITED: list[object] = []


def with_own_connections(function: Callable[..., Any], *args: Any) -> Any:
    """Return `function(*args)`; afterwards drop the connections of this thread."""
    try:
        return function(*args)
    finally:
        drop_all()


def with_working_connections(job: object, function: Callable[..., Any], *args: Any) -> Any:
    """Return `function(*args)`; first drop the connections of this thread if it last worked for another job.

    For the threads of an executor that the project's code keeps: between two calls of one job they stay.
    """
    if getattr(_LAST, "job", None) is not job:
        drop_all()
        _LAST.job = job
    return function(*args)


def drop_all() -> None:
    """Close this thread's connections, in whatever state they are; the next use opens new ones."""
    from django.db import connections  # not before gevent has patched what it imports

    for connection in connections.all(initialized_only=True):
        # Forgotten first: one within `atomic` would stay, closed, and refuse every query of later jobs.
        del connections[connection.alias]
        try:
            connection.close()
        except Exception:  # it is broken: nothing uses it any more
            logger.debug("could not close a broken database connection", exc_info=True)


def forget_inherited() -> None:
    """Let this forked process open database connections of its own, instead of using those of its parent."""
    from django.db import connections

    for connection in connections.all(initialized_only=True):
        del connections[connection.alias]
        pools = getattr(type(connection), "_connection_pools", {})  # of PostgreSQL
        _INHERITED.extend((connection, dict(pools)))
        pools.clear()
