"""Two comparisons beside each other: before and after a change of code or settings."""

from collections.abc import Sequence
from statistics import median
from typing import Any, NamedTuple
from uuid import UUID

from django.contrib.auth.models import User
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, render

from poolwise.charts import vega
from poolwise.lab import Chart, bundle, handout
from poolwise.lab import charts as comparison_charts
from poolwise.lab import report as lab_report
from poolwise.models import Comparison
from poolwise.support import parameter_value, percent, seconds
from poolwise.web.views.live import PageRequest

#: The charts that are shown in pairs.
_KEYS = ("time", "distributions", "sweep")
_CHOICES = 30
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
    changes = changes_of(before, after)
    drawn = _on_one_scale(
        [
            comparison_charts.charts(side.report, lab_report.samples(side.comparison))
            for side in (before, after)
        ]
    )
    context = {
        "comparison": comparison,
        "sides": (before, after),
        "chart_of_changes": comparison_charts.of_changes(changes, bundle.ALLOWANCE),
        "changes": _rows(before, after, changes),
        "allowance": percent(bundle.ALLOWANCE),
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


def changes_of(before: Side, after: Side) -> list[bundle.Change]:
    """Return the change of each pool that both measured; other slots or copies may be what is compared."""
    limits = [side.comparison.in_flight for side in (before, after)]
    return bundle.changes(
        before.report, after.report, in_flight=min(filter(None, limits), default=None), same_design=False
    )


def _rows(before: Side, after: Side, changes: Sequence[bundle.Change]) -> list[dict[str, Any]]:
    old, new = (bundle.rounds_of(side.report) for side in (before, after))
    return [
        {
            "pool": change.pool,
            "before": seconds(_middle(old[change.pool])),
            "after": seconds(_middle(new[change.pool])),
            "outcome": change.outcome,
            "text": bundle.ratio_text(change.between) if change.between else change.reason,
        }
        for change in changes
    ]


def _middle(rounds: Sequence[bundle.Round]) -> float | None:
    return median(round_.time_s for round_ in rounds) if rounds else None


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
    return facts | dict(handout.environment_lines(report.environment or comparison.environment))
