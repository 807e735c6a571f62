"""The results of a hazard's variants as rows of text, for the command and for pages."""

from collections.abc import Callable, Mapping, Sequence
from statistics import median_low
from typing import Any

from jobs.catalog.hazards.lessons import size
from jobs.catalog.hazards.variants import VARIANT
from jobs.formats import percent, seconds

type _Cell = Callable[[Any], str]


def _count(value: Any) -> str:
    return f"{value:,}"


def _microseconds(value: Any) -> str:
    return f"{value:,.1f} µs"


_COLUMNS: dict[str, dict[str, tuple[str, _Cell]]] = {
    "hazard.shared_counter": {
        "updates": ("updates", _count),
        "counted": ("counted", _count),
        "lost": ("lost", _count),
        "took": ("duration_s", seconds),
    },
    "hazard.blocked_loop": {
        "in": ("where", str),
        "computed": ("compute_s", seconds),
        "took": ("duration_s", seconds),
        "sibling woke": ("sibling_wakes", _count),
        "median late": ("sibling_late_median_s", seconds),
        "most late": ("sibling_late_max_s", seconds),
    },
    "hazard.large_payload": {
        "data": ("size_kib", lambda kib: f"{kib:,} KiB"),
        "messages": ("message_bytes", size),
        "passing": ("passing_s", seconds),
        "work": ("work_s", seconds),
        "share": ("share", percent),
    },
    "hazard.backlog": {
        "consumed": ("consumed", _count),
        "refused": ("refused", _count),
        "most waiting": ("most_items", _count),
        "memory": ("most_bytes", size),
        "median wait": ("wait_median_s", seconds),
        "longest wait": ("wait_max_s", seconds),
        "producer waited": ("producer_waited_s", seconds),
    },
    "hazard.lock_held": {
        "threads": ("workers", _count),
        "took": ("duration_s", seconds),
        "one alone": ("alone_s", seconds),
        "longest lock wait": ("lock_wait_max_s", seconds),
    },
    "hazard.head_of_line": {
        "short jobs": ("short_jobs", _count),
        "stuck": ("stuck", _count),
        "median wait": ("short_wait_median_s", seconds),
        "longest wait": ("short_wait_max_s", seconds),
        "all took": ("duration_s", seconds),
    },
    "hazard.tiny_jobs": {
        "jobs": ("jobs", _count),
        "in a batch": ("batch", _count),
        "work of one": ("work_us", _microseconds),
        "cost of one": ("per_job_us", _microseconds),
        "all took": ("duration_s", seconds),
    },
}


def merged(results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return several results of one variant as one: medians of the numbers, the first of what is no number."""
    found: dict[str, Any] = {}
    for key, value in results[0].items():
        values = [result[key] for result in results]
        if isinstance(value, list):
            found[key] = [merged(parts) for parts in zip(*values, strict=True)]
        elif isinstance(value, int | float) and not isinstance(value, bool):
            found[key] = median_low(values)  # one of the values: whole numbers stay whole
        else:
            found[key] = value
    return found


def table(definition: str, results: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """Return the headings and then a row for each result; one that holds several sizes has a row for each.

    Raise KeyError for a definition that is no hazard of this package, and for a result that is not its own.
    """
    variant, columns = VARIANT[definition], _COLUMNS[definition]
    rows: list[tuple[str, ...]] = [(variant, *columns)]
    for result in results:
        for line in result.get("sizes", [result]):
            rows.append((str(result[variant]), *(cell(line[key]) for key, cell in columns.values())))
    return rows
