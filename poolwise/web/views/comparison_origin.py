"""What fills in the form of a new comparison: an earlier comparison, or a submission of jobs."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.conf import settings
from pydantic import ValidationError

from poolwise.lab import OWN
from poolwise.models import Comparison
from poolwise.reports import JobFilter, newest_of, submission
from poolwise.web.views.live import PageRequest

#: What a repeated comparison keeps of its design, beside pools, preset and variants.
_KEPT = (
    "rounds", "copies", "warmup", "calibrate", "in_flight", "arrival_rate_per_s", "slots", "is_sweep", "baseline", "seed",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Origin:
    """A definition with its parameters and the initial values of the design; `is_mixed`: its jobs differ in either."""

    definition: str
    params: dict[str, Any]
    design: dict[str, Any]
    comparison: Comparison | None = None
    submission: JobFilter | None = None
    is_mixed: bool = False


def origin(request: PageRequest) -> Origin | None:
    """Return what `?from=` (a comparison) or `?submission=` names; None without either, or if the user may not see it."""
    if "submission" in request.GET:
        return _submission(request)
    try:
        pk = UUID(request.GET.get("from", ""))
    except ValueError:
        return None
    comparison = Comparison.objects.visible_to(request.user).filter(pk=pk).first()
    return None if comparison is None else _of_comparison(comparison)


def _of_comparison(comparison: Comparison) -> Origin:
    design = {name: getattr(comparison, name) for name in _KEPT} | {
        "pools": comparison.pools,
        "preset": comparison.preset or OWN,
        "vary": next(iter(comparison.vary or {}), ""),
    }
    if comparison.vary:
        design["baseline"] = ""
    return Origin(comparison.definition, comparison.params, design, comparison=comparison)


def _submission(request: PageRequest) -> Origin | None:
    given = {name: request.GET[name] for name in ("submission", "owner") if name in request.GET}
    try:
        chosen = JobFilter.model_validate(given)
    except ValidationError:
        return None
    job, is_mixed = newest_of(request.user, chosen)
    if job is None:
        return None
    used = [pool.name for pool in submission(request.user, chosen).pools if pool.name in settings.JOB_POOLS]
    # One pool compares nothing.
    design = {"pools": used if len(used) > 1 else list(settings.JOB_POOLS), "preset": "quick"}
    return Origin(job.definition, job.params, design, submission=chosen, is_mixed=is_mixed)
