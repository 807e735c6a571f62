"""Two comparisons beside each other: before and after a change of code or settings."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple
from uuid import UUID

from django.contrib.auth.models import User
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, render

from poolwise.charts import vega
from poolwise.lab import Chart, bundle
from poolwise.lab.report import Pair as Verdict

compare = None
from poolwise.lab import charts as comparison_charts
from poolwise.lab import report as lab_report
from poolwise.models import Comparison
from poolwise.support import parameter_value, quantile, seconds, times
from poolwise.web.views import presenter
from poolwise.web.views.live import PageRequest

#: The charts that are shown in pairs.
_KEYS = ("time", "distributions", "sweep")
_CHOICES = 30
_HELP = "Right of 1.0× a pool became faster; the whiskers show the 95 % interval over rounds."
_SETTINGS = (
    "copies",
    "rounds",
    "slots",
    "in_flight",
    "arrival_rate_per_s",
    "warmup",
    "calibrate",
    "baseline",
)


class Side(NamedTuple):
    """One of the two, `before` or `after`."""

    name: str
    comparison: Comparison
    report: lab_report.Report


def choices(user: User, comparison: Comparison) -> list[Comparison]:
    """Return the comparisons to compare this one with: of the same definition, with a report, newest first."""
    others = Comparison.objects.visible_to(user).filter(
        definition=comparison.definition, report__isnull=False
    )
    return list(others.exclude(pk=comparison.pk).defer("report", "environment")[:_CHOICES])


def other_of(request: PageRequest, comparison: Comparison) -> Comparison | None:
    """Return the comparison that `?with=` names. Raise Http404 if the user may not see it."""
    text = request.GET.get("with", "")
    if not text:
        return None
    try:
        other = get_object_or_404(Comparison.objects.visible_to(request.user), pk=UUID(text))
    except ValueError as error:
        raise Http404("Not a comparison's id.") from error
    if not (comparison.report and other.report) or other.pk == comparison.pk:
        raise Http404("Both comparisons need a report.")
    return other


def page(request: PageRequest, comparison: Comparison, other: Comparison) -> HttpResponse:
    """Show two comparisons side by side, the older one as before."""
    before, after = (
        Side(name, comparison, lab_report.Report.model_validate(comparison.report))
        for name, comparison in zip(
            ("before", "after"), sorted((comparison, other), key=lambda side: side.created_at), strict=True
        )
    )
    verdicts = changes_of(before, after)
    changed = before.report.model_copy(update={"baseline": "before", "verdicts": verdicts, "vary": None})
    ratios = comparison_charts.chart("ratios", changed, ())
    drawn = _on_one_scale(
        [
            comparison_charts.charts(side.report, lab_report.samples(side.comparison))
            for side in (before, after)
        ]
    )
    context = {
        "comparison": comparison,
        "sides": (before, after),
        "ratios": ratios and replace(ratios, title="Each pool, after / before", help=_HELP),
        "changes": _rows(before, after, verdicts),
        "differences": differences(before, after),
        "pairs": [[(side.name, charts.get(key)) for side, charts in zip((before, after), drawn, strict=True)]
                  for key in _KEYS if any(key in charts for charts in drawn)],
        "vega_url": vega.script_url(),
    }  # fmt: skip
    return render(request, "poolwise/comparison_pair.html", context)


def _on_one_scale(sides: list[dict[str, Chart]]) -> list[dict[str, Chart]]:
    before, after = sides
    for key in before.keys() & after.keys():
        before[key], after[key] = comparison_charts.on_one_scale([before[key], after[key]])
    return sides


def changes_of(before: Side, after: Side) -> dict[str, Verdict]:
    """Return, for each pool that both measured, its verdict against before."""
    old, new = bundle.rounds_of(before.report), bundle.rounds_of(after.report)
    return {
        pool: compare(old[pool], new[pool], seed=before.comparison.seed)
        for pool in new
        if old.get(pool) and new[pool]
    }


def _rows(before: Side, after: Side, verdicts: Mapping[str, Verdict]) -> list[dict[str, Any]]:
    rounds = [bundle.rounds_of(side.report) for side in (before, after)]
    return [
        {
            "pool": pool,
            "outcome": verdict.outcome,
            "reason": verdict.reason,
            "times": times(verdict.ratio),
            **{
                name: seconds(_middle(rounds_of_pool[pool]))
                for name, rounds_of_pool in zip(("before", "after"), rounds, strict=True)
            },
        }
        for pool, verdict in verdicts.items()
    ]


def _middle(rounds: list[list[float]]) -> float | None:
    return quantile([per_job_s for round_ in rounds for per_job_s in round_], 0.5)


def differences(before: Side, after: Side) -> list[tuple[str, str, str]]:
    """Return what differs: parameters, design and environment, each with both values."""
    old, new = (_facts(side.comparison, side.report) for side in (before, after))
    keys = dict.fromkeys([*old, *new])
    return [(key, old.get(key, "–"), new.get(key, "–")) for key in keys if old.get(key) != new.get(key)]


def _facts(comparison: Comparison, report: lab_report.Report) -> dict[str, str]:
    facts = {f"Parameter {name}": parameter_value(value) for name, value in comparison.shown_params.items()}
    for name in _SETTINGS:
        value = getattr(comparison, name)
        facts[name.replace("_", " ").capitalize()] = "–" if value in (None, "") else str(value)
    facts |= {f"Slots of {pool.name}": str(pool.slots) for pool in report.pools}
    return facts | dict(presenter.environment_of(report.environment or comparison.environment))
