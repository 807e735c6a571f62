"""Which figures of a hazard's results a table shows, and how they read."""

from collections.abc import Callable, Mapping
from typing import Any

from poolwise.support.formats import percent, seconds

type _Columns = Mapping[str, tuple[str, Callable[[Any], str]]]


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
    "took": ("duration_s", seconds),
}
BLOCKED_LOOP: _Columns = {
    "in": ("where", str),
    "computed": ("compute_s", seconds),
    "took": ("duration_s", seconds),
    "sibling woke": ("sibling_wakes", _count),
    "median late": ("sibling_late_median_s", seconds),
    "most late": ("sibling_late_max_s", seconds),
}
LARGE_PAYLOAD: _Columns = {
    "data": ("size_kib", lambda kib: f"{kib:,} KiB"),
    "messages": ("message_bytes", size),
    "passing": ("passing_s", seconds),
    "work": ("work_s", seconds),
    "share": ("share", percent),
}
BACKLOG: _Columns = {
    "consumed": ("consumed", _count),
    "refused": ("refused", _count),
    "most waiting": ("most_items", _count),
    "memory": ("most_bytes", size),
    "median wait": ("wait_median_s", seconds),
    "longest wait": ("wait_max_s", seconds),
    "producer waited": ("producer_waited_s", seconds),
}
LOCK_HELD: _Columns = {
    "threads": ("workers", _count),
    "took": ("duration_s", seconds),
    "one alone": ("alone_s", seconds),
    "longest lock wait": ("lock_wait_max_s", seconds),
}
HEAD_OF_LINE: _Columns = {
    "short jobs": ("short_jobs", _count),
    "stuck": ("stuck", _count),
    "median wait": ("short_wait_median_s", seconds),
    "longest wait": ("short_wait_max_s", seconds),
    "all took": ("duration_s", seconds),
}
TINY_JOBS: _Columns = {
    "jobs": ("jobs", _count),
    "in a batch": ("batch", _count),
    "work of one": ("work_us", _microseconds),
    "cost of one": ("per_job_us", _microseconds),
    "all took": ("duration_s", seconds),
}
