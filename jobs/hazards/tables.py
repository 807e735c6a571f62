"""The table of each hazard: which figures of the results it shows, and how it formats them."""

from collections.abc import Callable, Mapping
from typing import Any

type _Columns = Mapping[str, tuple[str, Callable[[Any], str]]]


def seconds(duration_s: float) -> str:
    """Return a duration in ms or s, with three digits or fewer."""
    if duration_s < 0.9995:
        return f"{duration_s * 1000:.{1 if duration_s < 0.01 else 0}f} ms"
    return f"{duration_s:.2f} s"


def percent(share: float) -> str:
    """Return a share of 1 as a percentage."""
    return f"{share * 100:.{1 if 0 < share < 0.0995 else 0}f} %"


def size(count_bytes: float) -> str:
    """Return a size in bytes, kB or MB."""
    if count_bytes < 1000:
        return f"{count_bytes:.0f} bytes"
    if count_bytes < 1e6:
        return f"{count_bytes / 1e3:.3g} kB"
    return f"{count_bytes / 1e6:.3g} MB"


def _count(value: Any) -> str:
    return f"{value:,}"


def _microseconds(value: Any) -> str:
    return f"{value:,.1f} µs"


SHARED_COUNTER: _Columns = {
    "updates": ("updates", _count),
    "counted": ("counted", _count),
    "lost": ("lost", _count),
    "duration": ("duration_s", seconds),
}
BLOCKED_LOOP: _Columns = {
    "ran on": ("where", str),
    "computed": ("compute_s", seconds),
    "duration": ("duration_s", seconds),
    "sibling wakes": ("sibling_wakes", _count),
    "median delay": ("sibling_late_median_s", seconds),
    "longest delay": ("sibling_late_max_s", seconds),
}
LARGE_PAYLOAD: _Columns = {
    "data": ("size_kib", lambda kib: f"{kib:,} KiB"),
    "messages": ("message_bytes", size),
    "time to pass": ("passing_s", seconds),
    "work": ("work_s", seconds),
    "share": ("share", percent),
}
BACKLOG: _Columns = {
    "consumed": ("consumed", _count),
    "refused": ("refused", _count),
    "longest queue": ("most_items", _count),
    "memory": ("most_bytes", size),
    "median wait": ("wait_median_s", seconds),
    "longest wait": ("wait_max_s", seconds),
    "producer waited": ("producer_waited_s", seconds),
}
LOCK_HELD: _Columns = {
    "threads": ("workers", _count),
    "duration": ("duration_s", seconds),
    "one thread alone": ("alone_s", seconds),
    "longest lock wait": ("lock_wait_max_s", seconds),
}
HEAD_OF_LINE: _Columns = {
    "short jobs": ("short_jobs", _count),
    "stuck": ("stuck", _count),
    "median wait": ("short_wait_median_s", seconds),
    "longest wait": ("short_wait_max_s", seconds),
    "total duration": ("duration_s", seconds),
}
TINY_JOBS: _Columns = {
    "jobs": ("jobs", _count),
    "jobs per batch": ("batch", _count),
    "work per job": ("work_us", _microseconds),
    "time per job": ("per_job_us", _microseconds),
    "total duration": ("duration_s", seconds),
}
