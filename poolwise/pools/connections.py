"""Database connections of threads that serve many jobs, one after the other."""

from collections.abc import Callable
from typing import Any

from poolwise.support import original

#: The last job that each native thread worked for.
_LAST = original("_thread", "_local")()


def with_working_connections(job: object, function: Callable[..., Any], *args: Any) -> Any:
    """Return `function(*args)`; first close connections of this thread that an earlier job left broken or too old.

    Celery and Django do that for the thread of a job or request, but not for the threads that a coroutine uses, such as
    asgiref's, where Django's async ORM runs: after a restart of the database it would never recover.
    """
    if getattr(_LAST, "job", None) is not job:
        close_old()
        _LAST.job = job
    return function(*args)


def close_old() -> None:
    """Close this thread's connections that are broken or older than CONN_MAX_AGE; the others are checked when used."""
    from django.db import close_old_connections  # not before gevent has patched what it imports

    close_old_connections()
