"""Two comparisons beside each other: before and after a change of code or settings."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, render

from jobs import comparison_charts, vega, verdicts
from jobs.comparison_charts import Chart
from jobs.comparison_charts.makespan import blocks_that_count
from jobs.comparison_charts.pairs import on_one_scale
from jobs.comparison_charts.ratios import times
from jobs.formats import parameter_value, seconds
from jobs.models import Comparison
from jobs.views import story
from jobs.views.live import PageRequest

#: Charts that are worth a look in pairs.
_KEYS = ("makespan", "time", "wait", "run", "split", "sweep")
_CHOICES = 30
_HELP = "Right of 1.0× a pool is faster than it was; the whiskers hold the 95 % interval over rounds."
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


def choices(user: User, found: Comparison) -> list[Comparison]:
    """Return the comparisons that this one may be set beside: of the same definition, with evidence, newest first."""
    others = Comparison.objects.visible_to(user).filter(definition=found.definition, evidence__isnull=False)
    return list(others.exclude(pk=found.pk).defer("evidence", "environment")[:_CHOICES])


def other_of(request: PageRequest, found: Comparison) -> Comparison | None:
    """Return the comparison that the address names by `with`. Raise Http404 where it is not to be seen."""
    text = request.GET.get("with", "")
    if not text:
        return None
    try:
        other = get_object_or_404(Comparison.objects.visible_to(request.user), pk=UUID(text))
    except ValueError as error:
        raise Http404("That is no comparison's number.") from error
    if not (found.evidence and other.evidence) or other.pk == found.pk:
        raise Http404("Two comparisons with evidence can be set side by side, and these are not.")
    return other


def page(request: PageRequest, found: Comparison, other: Comparison) -> HttpResponse:
    """Show two comparisons side by side, the older as what was before."""
    before, after = sorted((found, other), key=lambda comparison: comparison.created_at)
    changes = changes_of(before, after)
    evidence = {
        "baseline": "before",
        "verdicts": {change["pool"]: change for change in changes},
        "pools": [{"name": change["pool"]} for change in changes],
    }
    ratios = comparison_charts.chart("ratios", evidence, ())
    drawn = _on_one_scale(
        [comparison_charts.charts(side.evidence or {}, story.samples_of(side)) for side in (before, after)]
    )
    context = {
        "comparison": found,
        "sides": [("Before", before), ("After", after)],
        "ratios": ratios and replace(ratios, title="Each pool against itself before", help=_HELP),
        "changes": changes,
        "differences": differences(before, after),
        "pairs": [[(side, charts.get(key)) for side, charts in zip(("before", "after"), drawn, strict=True)]
                  for key in _KEYS if any(key in charts for charts in drawn)],
        "vega_url": vega.script_url(),
    }  # fmt: skip
    return render(request, "jobs/comparison_pair.html", context)


def _on_one_scale(sides: list[dict[str, Chart]]) -> list[dict[str, Chart]]:
    before, after = sides
    for key in before.keys() & after.keys():
        before[key], after[key] = on_one_scale([before[key], after[key]])
    return sides


def changes_of(before: Comparison, after: Comparison) -> list[dict[str, Any]]:
    """Return, for each pool that both measured, how many times as fast it is now."""
    old, new = _per_job_s(before), _per_job_s(after)
    found = []
    for pool in (name for name in new if name in old and old[name] and new[name]):
        verdict = _verdict(old[pool], new[pool], before.seed)
        spans = (_middle(old[pool]), _middle(new[pool]))
        texts = {"times": times(verdict["ratio"]), "before": seconds(spans[0]), "after": seconds(spans[1])}
        found.append({"pool": pool, **verdict, **texts})
    return found


def _per_job_s(comparison: Comparison) -> dict[str, list[float]]:
    """Return seconds a job in each counted block, by pool."""
    pools = (comparison.evidence or {}).get("pools", [])
    return {
        pool["name"]: [block["makespan_s"] / comparison.copies for block in blocks_that_count(pool)]
        for pool in pools
    }


def _middle(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


def _verdict(old: list[float], new: list[float], seed: int) -> dict[str, Any]:
    found = verdicts.compare([[s] for s in old], [[s] for s in new], seed=seed)
    names = ("word", "ratio", "low", "high", "p_value", "reason")
    return {name: getattr(found, name) for name in names}


def differences(before: Comparison, after: Comparison) -> list[tuple[str, str, str]]:
    """Return what was not the same: parameters, design and environment, each with both values."""
    old, new = (_facts(side) for side in (before, after))
    keys = dict.fromkeys([*old, *new])
    return [(key, old.get(key, "–"), new.get(key, "–")) for key in keys if old.get(key) != new.get(key)]


def _facts(comparison: Comparison) -> dict[str, str]:
    facts = {f"Parameter {name}": parameter_value(value) for name, value in comparison.shown_params.items()}
    for name in _SETTINGS:
        value = getattr(comparison, name)
        facts[name.replace("_", " ").capitalize()] = "–" if value in (None, "") else str(value)
    evidence: Mapping[str, Any] = comparison.evidence or {}
    for pool in evidence.get("pools", ()):
        facts[f"Slots of {pool['name']}"] = str(pool.get("slots"))
    return facts | dict(story.environment_of(evidence.get("environment") or comparison.environment))
