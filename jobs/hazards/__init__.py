"""Well-known mistakes as jobs: a parameter chooses the mistake or one of its guards, the result counts the harm.

`lessons` words what results show; `manage.py hazard NAME` runs all variants of one.
"""

from jobs.hazards import backlog, blocked, counter, locking, payload, prefetch, tiny

__all__ = ["backlog", "blocked", "counter", "locking", "payload", "prefetch", "tiny"]
