"""The charts of a comparison: pure functions from its frozen report to Vega-Lite, each with its table.

Altair is imported when a chart is made: every process reads this module through the addresses of the site.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from poolwise.lab.report import Report, Sample

Spec = dict[str, Any]
Samples = Sequence[Sample]
Rows = list[list[str]]


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart: what draws it, what it says to whom cannot see it, and its figures as a table."""

    key: str
    title: str
    help: str
    """How to read it, one sentence."""
    spec: Spec
    head: list[str]
    rows: Rows


@dataclass(frozen=True, slots=True)
class _Kind:
    """A chart that may be made: the module and the name of its functions `draw_…` and `rows_of_…`."""

    key: str
    module: str
    title: str
    help: str

    def function(self, prefix: str) -> Callable[..., Any]:
        """Return `draw_<key>` or `rows_of_<key>`."""
        found: Callable[..., Any] = getattr(
            import_module(f"{__name__}.{self.module}"), f"{prefix}_{self.key}"
        )
        return found


_KINDS = {
    kind.key: kind
    for kind in (
        _Kind("ratios", "ratios", "Speed against {baseline}",
              "Right of 1.0× a {variant} is faster than {baseline}; the whiskers hold the 95 % interval over rounds."),
        _Kind("time", "times", "Where a job’s time went",
              "Mean seconds of one job: waiting for its turn, then the parts of its run."),
        _Kind("distributions", "distributions", "Distribution of waits and runs",
              "The share of jobs that waited, and that ran, at most so long."),
        _Kind("concurrency", "concurrency", "Achieved concurrency",
              "Jobs that ran at once, in the round with the median makespan; the dashed line is what was possible."),
        _Kind("sweep", "sweep", "Over concurrency",
              "Throughput and p95 against slots; rings mark the knee, where more slots stop to pay."),
    )
}  # fmt: skip
KEYS = tuple(_KINDS)


def chart(key: str, report: Report, samples: Samples) -> Chart | None:
    """Return one chart, or None when the report has nothing for it. Raise KeyError for an unknown key."""
    kind = _KINDS[key]
    rows = kind.function("rows_of")(report, samples)
    if rows is None:
        return None
    head, body = rows
    terms = {
        "baseline": report.baseline or "the baseline",
        "variant": "variant" if report.vary else "pool",
    }
    title = kind.title.format(**terms)
    spec = {**kind.function("draw")(report, samples), "title": title}
    if report.vary:
        spec, head = _of_variants(spec), _of_variants(head)
    return Chart(key, title, kind.help.format(**terms), spec, head, body)


def _of_variants(part: Any) -> Any:
    """Return a chart or a heading that says Variant instead of Pool."""
    if isinstance(part, list):
        return [_of_variants(one) for one in part]
    if isinstance(part, dict):
        return {key: value if key == "values" else _of_variants(value) for key, value in part.items()}
    return "Variant" if part == "Pool" else part


def charts(report: Report, samples: Samples) -> dict[str, Chart]:
    """Return every chart that the report can fill, by key."""
    found = ((key, chart(key, report, samples)) for key in KEYS)
    return {key: made for key, made in found if made is not None}
