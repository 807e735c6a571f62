"""Database connections of threads that work for many jobs, one after the other."""

from collections.abc import Callable
from typing import Any

from poolwise.support import original

#: For whom each native thread worked last.
_LAST = original("_thread", "_local")()


def with_working_connections(job: object, function: Callable[..., Any], *args: Any) -> Any:
    """Return `function(*args)`; what an earlier job left broken or too old in this thread is closed first.

    Celery and Django do that for the thread of a job or request. They never see the threads that a coroutine calls,
    asgiref's above all, in which Django's async ORM runs: after a restart of the database it would fail for good.
    """
    if getattr(_LAST, "job", None) is not job:
        close_old()
        _LAST.job = job
    return function(*args)


def close_old() -> None:
    """Close this thread's connections that are broken or older than CONN_MAX_AGE; the others are checked when used."""
    from django.db import close_old_connections  # not before gevent has patched what it imports

    close_old_connections()
