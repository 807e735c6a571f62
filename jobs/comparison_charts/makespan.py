"""Makespan of each block against the ideal of its slots or cores."""

from collections.abc import Mapping
from statistics import median
from typing import Any

from jobs.comparison_charts.common import Evidence, Samples, Spec, Table
from jobs.comparison_charts.dots import Dot, dots
from jobs.formats import percent, seconds

_MEDIAN = "Median of the rounds"
_KINDS = {
    "A round": Dot("#0a84c6", "circle", size=90, opacity=0.45),
    "Ideal": Dot("#009e73", "diamond"),
    _MEDIAN: Dot("#d55e00", "M0,-0.8L0,0.8", filled=False, size=320),
}


def blocks_that_count(pool: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return a pool's measured blocks that are not void and have ended."""
    blocks = pool.get("blocks") or ()
    return [
        b for b in blocks if b.get("role") == "measured" and not b.get("void_reason") and b.get("makespan_s")
    ]


def _ideal_s(pool: Mapping[str, Any]) -> float | None:
    known = [block["ideal_makespan_s"] for block in blocks_that_count(pool) if block.get("ideal_makespan_s")]
    return median(known) if known else None


def _median_s(pool: Mapping[str, Any]) -> float | None:
    spans = [block["makespan_s"] for block in blocks_that_count(pool)]
    return median(spans) if spans else None


def _points(evidence: Evidence) -> list[dict[str, Any]]:
    points = []
    for pool in evidence.get("pools", ()):
        own = {"pool": pool["name"]}
        points += [own | {"what": "A round", "s": block["makespan_s"]} for block in blocks_that_count(pool)]
        if (span := _median_s(pool)) is not None:
            points.append(own | {"what": _MEDIAN, "s": span})
        if (ideal := _ideal_s(pool)) is not None:
            points.append(own | {"what": "Ideal", "s": ideal})
    return points


def draw_makespan(evidence: Evidence, samples: Samples) -> Spec:
    """Return rounds, median and ideal of each pool on one axis, with the gap between the last two as a line."""
    spans = {pool["name"]: _median_s(pool) for pool in evidence["pools"]}
    order = sorted((name for name, span in spans.items() if span), key=lambda name: spans[name] or 0.0)
    return dots(
        _points(evidence),
        _KINDS,
        order=order,
        joined=("Ideal", _MEDIAN),
        axis="Makespan of a block",
        legend="Makespan",
    )


def rows_of_makespan(evidence: Evidence, samples: Samples) -> Table | None:
    """Return makespans, ideal and efficiency, or None when no block has ended."""
    rows = []
    for pool in evidence.get("pools", ()):
        if (span := _median_s(pool)) is not None:
            ideal = _ideal_s(pool)
            spans = [block["makespan_s"] for block in blocks_that_count(pool)]
            reached = percent(ideal / span) if ideal and span else "–"
            rows.append(
                [
                    pool["name"],
                    seconds(span),
                    seconds(min(spans)),
                    seconds(max(spans)),
                    seconds(ideal),
                    reached,
                ]
            )
    return (
        (["Pool", "Median", "Fastest round", "Slowest round", "Ideal", "Ideal ÷ median"], rows)
        if rows
        else None
    )
