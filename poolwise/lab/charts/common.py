"""What the charts share: colours, scales, the pools as a legend."""

from collections.abc import Collection, Iterable, Sequence
from math import ceil, floor, log10
from typing import Any

import altair as alt

from poolwise.charts import common
from poolwise.lab.report import Report, Sample
from poolwise.pools import MODELS

Spec = dict[str, Any]
Samples = Sequence[Sample]
ChartTable = tuple[list[str], list[list[str]]]

#: Above this ratio a linear axis would hide the smallest; less than on the dashboard, whose curves run over time.
_LOG_ABOVE = 8.0
#: A line high enough for a pool's bar and the space around it; a number, since a step cannot be fitted to a width.
LINE = 38
#: Height of a panel that shows a curve.
HEIGHT = 230


def names_of(report: Report) -> list[str]:
    """Return the names of the pools, in the order that gives each its colour."""
    return [pool.name for pool in report.pools]


def measured(report: Report, samples: Samples) -> list[Sample]:
    """Return the jobs that count: of measured batches, and succeeded; of a sweep those at each pool's most slots."""
    most = {pool.name: pool.slots or 0 for pool in report.pools if report.sweep}
    return [
        job
        for job in samples
        if job.role == "measured" and job.state == "succeeded" and job.slots >= most.get(job.pool, 0)
    ]


def top_legend(**options: Any) -> alt.Legend:
    """Return a legend above the chart."""
    return alt.Legend(orient="top", direction="horizontal", columns=4, **options)


def _ranks(report: Report) -> dict[str, int]:
    """Return each pool's place among the colours: the first of a model has the model's, in every comparison."""
    if report.vary:
        return {name: rank for rank, name in enumerate(names_of(report))}
    ranks: dict[str, int] = {}
    for pool in report.pools:
        own = MODELS.index(pool.model) if pool.model in MODELS else len(MODELS)
        taken = set(ranks.values())
        free = (rank for rank in range(len(MODELS), len(MODELS) + len(taken) + 1) if rank not in taken)
        ranks[pool.name] = next(free) if own in taken else own
    return ranks


def _scale(report: Report, looks: Sequence[Any], only: Collection[str] | None) -> alt.Scale:
    looks_of = {name: looks[rank % len(looks)] for name, rank in _ranks(report).items()}
    shown = [name for name in looks_of if only is None or name in only]
    return alt.Scale(domain=shown, range=[looks_of[name] for name in shown])


def pool_colour(report: Report, *, legend: bool = True, only: Collection[str] | None = None) -> alt.Color:
    """Return each pool's own colour, the same in every chart of the comparison; `only` these in the legend."""
    scale = _scale(report, common.COLOURS, only)
    shown = top_legend(symbolType="stroke", symbolSize=260) if legend else None
    return alt.Color("pool:N", title="Pool", scale=scale, legend=shown)


def pool_dash(report: Report, *, only: Collection[str] | None = None) -> alt.StrokeDash:
    """Return each pool's own dash, so that colour is not all that tells lines apart."""
    return alt.StrokeDash("pool:N", title="Pool", scale=_scale(report, common.DASHES, only))


def pool_rows(order: Sequence[str]) -> alt.Y:
    """Return the pools as lines, one below the other."""
    axis = alt.Axis(title="Pool", labelFontSize=13, labelLimit=140, ticks=False, domain=False, labelPadding=8)
    return alt.Y("pool:N", sort=list(order), axis=axis)


def is_wide(values: Iterable[float | None]) -> bool:
    """Return whether the values span so much that only a logarithmic axis shows them all."""
    return common.is_wide(values, _LOG_ABOVE)


def duration_axis(title: str, values: Iterable[float | None] = ()) -> alt.Axis:
    """Return an axis of durations whose labels carry their unit; `values` are what its scale is made of."""
    known = [value for value in values if value and value > 0]
    ticks = {"values": log_ticks(min(known), max(known))} if is_wide(known) else {"tickCount": 5}
    return alt.Axis(title=title, labelExpr=common.DURATION_LABELS, labelOverlap=True, **ticks)


def log_ticks(low: float, high: float) -> list[float]:
    """Return 1, 2 and 5 of each power of ten in reach; of many powers 1 alone."""
    powers = range(floor(log10(low)), ceil(log10(high)) + 1)
    steps = (1, 2, 5) if high / low < 300 else (1, 3) if high / low < 3000 else (1,)
    return [float(f"{step}e{power}") for power in powers for step in steps]


def duration_scale(values: Iterable[float | None], *, from_zero: bool = True) -> alt.Scale:
    """Return a scale for durations: logarithmic where they span much, else linear."""
    known = [value for value in values if value is not None and value > 0]
    if is_wide(known):
        return alt.Scale(type="log", domain=common.log_domain(known), nice=False)
    return alt.Scale(zero=from_zero, nice=True)
