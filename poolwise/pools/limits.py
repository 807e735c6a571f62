"""Limits by pool: the effect of time limits, cancelling and memory limits on each concurrency model.

The table is constant: it follows from how CPython, gevent and asyncio can be interrupted. The test
`tests/worker/stuck/test_limit_support.py` probes workers of all four models and compares.
"""

from enum import StrEnum


class Support(StrEnum):
    """What an interrupt does to a job."""

    ENFORCED = "enforced"
    RESTARTS = "restarts the worker"
    AT_NEXT_YIELD = "at the next yield"
    NONE = "not supported"


SOFT, HARD, CANCEL, MEMORY = "soft", "hard", "cancel", "memory"
INTERRUPTS = (SOFT, HARD, CANCEL)
WAITS, COMPUTES, CALLS_C = "waits", "computes", "calls C"
ACTIVITIES = (WAITS, COMPUTES, CALLS_C)
FUNCTION, COROUTINE = "function", "coroutine"
STYLES = (FUNCTION, COROUTINE)

_E, _R, _Y = Support.ENFORCED, Support.RESTARTS, Support.AT_NEXT_YIELD
type _Pair = tuple[Support, Support]  # of a function and of a coroutine
type _Rows = dict[str, tuple[_Pair, _Pair, _Pair]]  # while it waits, computes, is inside one call of C

_THREADS: _Rows = {
    SOFT: ((_Y, _E), (_E, _Y), (_Y, _Y)),
    HARD: ((_R, _E), (_E, _R), (_R, _R)),
    CANCEL: ((_Y, _E), (_E, _Y), (_Y, _Y)),
}
_TABLE: dict[str, _Rows] = {
    "prefork": {
        SOFT: ((_E, _E), (_E, _Y), (_Y, _Y)),
        HARD: ((_E, _E), (_E, _E), (_E, _E)),
        CANCEL: ((_E, _E), (_E, _E), (_E, _E)),
    },
    "threads": _THREADS,
    "gevent": {
        SOFT: ((_E, _E), (_Y, _Y), (_Y, _Y)),
        HARD: ((_E, _E), (_R, _R), (_R, _R)),
        CANCEL: ((_E, _E), (_Y, _Y), (_Y, _Y)),
    },
    "asyncio": _THREADS,  # a plain function runs in a thread there too
}


def support(model: str, interrupt: str, style: str, activity: str) -> Support:
    """Return the effect of an interrupt on a body of that style during that activity, on a pool of that model."""
    return _TABLE[model][interrupt][ACTIVITIES.index(activity)][STYLES.index(style)]


def memory_support(model: str) -> Support:
    """Return the effect of a memory limit: memory cannot be attributed to jobs that share a process."""
    return Support.ENFORCED if model == "prefork" else Support.NONE
