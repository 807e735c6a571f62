"""What a comparison's charts share: colours, scales, the legend of pools."""

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

#: Above this ratio of largest to smallest an axis is logarithmic; lower than for the dashboard's time series.
_LOG_ABOVE = 8.0
#: Height of a pool's bar with the space around it; a number, since Vega cannot fit a step to a width.
LINE = 38
#: Height of a panel that shows a curve.
HEIGHT = 230


def names_of(report: Report) -> list[str]:
    """Return the names of the pools, in the order that gives each its colour."""
    return [pool.name for pool in report.pools]


def measured(report: Report, samples: Samples) -> list[Sample]:
    """Return the succeeded jobs of measured batches; of a sweep, those with each pool's most slots."""
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
    """Return each pool's colour number; the first pool of each model has the model's, in every comparison."""
    if report.vary:
        return {name: rank for rank, name in enumerate(names_of(report))}
    ranks: dict[str, int] = {}
    for pool in report.pools:
        own = MODELS.index(pool.model) if pool.model in MODELS else len(MODELS)
        taken = set(ranks.values())
        free = (rank for rank in range(len(MODELS), len(MODELS) + len(taken) + 1) if rank not in taken)
        ranks[pool.name] = next(free) if own in taken else own
    return ranks


def _scale(report: Report, styles: Sequence[Any], only: Collection[str] | None) -> alt.Scale:
    style_of = {name: styles[rank % len(styles)] for name, rank in _ranks(report).items()}
    shown = [name for name in style_of if only is None or name in only]
    return alt.Scale(domain=shown, range=[style_of[name] for name in shown])


def pool_colour(report: Report, *, legend: bool = True, only: Collection[str] | None = None) -> alt.Color:
    """Return each pool's colour, the same in every chart of the comparison; the legend shows `only` these."""
    scale = _scale(report, common.COLOURS, only)
    shown = top_legend(symbolType="stroke", symbolSize=260) if legend else None
    return alt.Color("pool:N", title="Pool", scale=scale, legend=shown)


def pool_dash(report: Report, *, only: Collection[str] | None = None) -> alt.StrokeDash:
    """Return each pool's dash, so that lines differ by more than their colour."""
    return alt.StrokeDash("pool:N", title="Pool", scale=_scale(report, common.DASHES, only))


def pool_rows(order: Sequence[str]) -> alt.Y:
    """Return the pools as rows."""
    axis = alt.Axis(title="Pool", labelFontSize=13, labelLimit=140, ticks=False, domain=False, labelPadding=8)
    return alt.Y("pool:N", sort=list(order), axis=axis)


def is_wide(values: Iterable[float | None]) -> bool:
    """Return whether the values need a logarithmic axis."""
    return common.is_wide(values, _LOG_ABOVE)


def duration_axis(title: str, values: Iterable[float | None] = ()) -> alt.Axis:
    """Return an axis of durations whose labels have their unit; `values` are those of its scale."""
    known = [value for value in values if value and value > 0]
    ticks = {"values": log_ticks(min(known), max(known))} if is_wide(known) else {"tickCount": 5}
    return alt.Axis(title=title, labelExpr=common.DURATION_LABELS, labelOverlap=True, **ticks)


def log_ticks(low: float, high: float) -> list[float]:
    """Return 1, 2 and 5 times each power of ten in the range, or fewer in a wide range."""
    powers = range(floor(log10(low)), ceil(log10(high)) + 1)
    steps = (1, 2, 5) if high / low < 300 else (1, 3) if high / low < 3000 else (1,)
    return [float(f"{step}e{power}") for power in powers for step in steps]


def duration_scale(values: Iterable[float | None], *, from_zero: bool = True) -> alt.Scale:
    """Return a scale for durations: logarithmic for a wide range, else linear."""
    known = [value for value in values if value is not None and value > 0]
    if is_wide(known):
        return alt.Scale(type="log", domain=common.log_domain(known), nice=False)
    return alt.Scale(zero=from_zero, nice=True)
