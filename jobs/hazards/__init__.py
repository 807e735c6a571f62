"""Common mistakes as jobs: a parameter chooses the mistake or one of its fixes, the result reports the damage.

`tables` and `lessons` show and explain the results; `manage.py hazard NAME` runs all variants of one.
"""

from jobs.hazards import backlog, blocked, counter, locking, payload, prefetch, tiny

__all__ = ["backlog", "blocked", "counter", "locking", "payload", "prefetch", "tiny"]
