"""The charts of a comparison: pure functions from its report to Vega-Lite, each with a table of its figures.

The modules of the charts are imported when one is made: every process imports this package with the URLs, and Altair
is slow to load. `common` is what they share, `pairs` puts the charts of two comparisons on one scale.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from poolwise.lab.report import Report, Sample

if TYPE_CHECKING:
    from poolwise.lab.bundle import Change

Spec = dict[str, Any]
Samples = Sequence[Sample]
Rows = list[list[str]]


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart as a Vega-Lite spec, with its figures as a table."""

    key: str
    title: str
    help: str
    """How to read it, one sentence."""
    spec: Spec
    head: list[str]
    rows: Rows


@dataclass(frozen=True, slots=True)
class _Kind:
    """A kind of chart; `module` has its functions `draw_<key>` and `rows_of_<key>`."""

    key: str
    module: str
    title: str
    help: str

    def function(self, prefix: str) -> Callable[..., Any]:
        """Return `draw_<key>` or `rows_of_<key>`."""
        module = import_module(f"{__name__}.{self.module}")
        function: Callable[..., Any] = getattr(module, f"{prefix}_{self.key}")
        return function


_KINDS = {
    kind.key: kind
    for kind in (
        _Kind("ratios", "ratios", "Time per job against {fastest}",
              "A job takes this many times as long; lines are 95 % intervals; in the band, a {variant} is equally fast."),
        _Kind("time", "times", "Where a job’s time went",
              "Mean time of a job: waiting to start, then the parts of its run."),
        _Kind("distributions", "distributions", "Distribution of waits and runs",
              "The share of jobs that waited, and that ran, up to this duration."),
        _Kind("concurrency", "concurrency", "Achieved concurrency",
              "Jobs running at once in the round with the median makespan; the dashed line is the maximum possible."),
        _Kind("sweep", "sweep", "Over concurrency",
              "Throughput and p95 by slots; rings mark the knee, beyond which more slots do not help."),
    )
}  # fmt: skip
KEYS = tuple(_KINDS)


def chart(key: str, report: Report, samples: Samples) -> Chart | None:
    """Return one chart, or None when the report has no data for it. Raise KeyError for an unknown key."""
    kind = _KINDS[key]
    rows = kind.function("rows_of")(report, samples)
    if rows is None:
        return None
    head, body = rows
    terms = {
        "fastest": next(iter(report.answer.candidates), "the fastest"),
        "variant": "variant" if report.vary else "pool",
    }
    title = kind.title.format(**terms)
    spec = {**kind.function("draw")(report, samples), "title": title}
    if report.vary:
        spec, head = _of_variants(spec), _of_variants(head)
    return Chart(key, title, kind.help.format(**terms), spec, head, body)


def _of_variants(part: Any) -> Any:
    """Return a part of a chart, or headings, with Variant instead of Pool."""
    if isinstance(part, list):
        return [_of_variants(item) for item in part]
    if isinstance(part, dict):
        return {key: value if key == "values" else _of_variants(value) for key, value in part.items()}
    return "Variant" if part == "Pool" else part


def charts(report: Report, samples: Samples) -> dict[str, Chart]:
    """Return every chart that the report has data for, by key."""
    made = ((key, chart(key, report, samples)) for key in KEYS)
    return {key: drawn for key, drawn in made if drawn is not None}


def on_one_scale(sides: Sequence[Chart]) -> list[Chart]:
    """Return charts of two comparisons with the same domains of their axes."""
    from poolwise.lab.charts.pairs import on_one_scale as scaled  # with it comes Altair

    return scaled(sides)


def of_changes(changes: Sequence["Change"], allowance: float) -> Chart | None:
    """Return the chart of two comparisons: how many times as long each pool's jobs take as before."""
    from poolwise.lab.charts.changes import draw  # with it comes Altair

    return draw(changes, allowance)
