"""How long a comparison will take, from its ended batches or from earlier runs."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from statistics import fmean, median
from typing import Any

from django.utils import timezone

from poolwise import definitions
from poolwise.lab import rounds
from poolwise.lab.feed import copies_of
from poolwise.lab.presets import PRESETS, Preset
from poolwise.lab.run import LIVE
from poolwise.lab.variants import Variant, Vary, variants_of
from poolwise.models import Batch, Comparison, Job, JobState
from poolwise.pools import all_pools, get_pool
from poolwise.support import cores

_PAST_BATCHES = 5
_PAST_JOBS = 100
#: Assumed overhead where there was no earlier batch.
_COST_PER_JOB_S = 0.003
_COST_PER_BATCH_S = 1.0
#: What a pilot or a calibration takes.
_BEFORE_ROUNDS_S = 1.5

type _Key = tuple[str, str, int | None]


def _key(batch: Batch) -> _Key:
    return batch.variant, batch.role, batch.wanted_slots


def estimate_s(comparison: Comparison) -> float | None:
    """Return the seconds left, from the batches that have ended, or else from earlier runs; None without either."""
    if comparison.state not in LIVE:
        return 0.0
    if comparison.budget_s is not None:
        return _left_of_budget_s(comparison)
    batches = list(comparison.batches.order_by("position"))
    took = _took(batches)
    if not took:
        return _before(comparison, batches)
    left_s = 0.0
    for batch in batches:
        if batch.finished_at is None:
            expected_s = _expected_s(took, batch)
            if batch.released_at is not None:
                expected_s = max(0.0, expected_s - (timezone.now() - batch.released_at).total_seconds())
            left_s += expected_s
    return left_s


def _left_of_budget_s(comparison: Comparison) -> float:
    """Return the seconds at most until the budget is spent, with the batches before the first round."""
    batches = list(comparison.batches.order_by("position"))
    before = sum(batch.role != Batch.Role.MEASURED and batch.finished_at is None for batch in batches)
    return rounds.status(comparison, batches).left_s + before * _BEFORE_ROUNDS_S


def _took(batches: Sequence[Batch]) -> dict[_Key, list[float]]:
    """Return how long each kind of batch took, including the time since the batch before."""
    took: dict[_Key, list[float]] = defaultdict(list)
    before: datetime | None = None
    for batch in batches:
        if batch.released_at is not None and batch.finished_at is not None:
            took[_key(batch)].append((batch.finished_at - (before or batch.released_at)).total_seconds())
            before = batch.finished_at
    return took


def _expected_s(took: Mapping[_Key, list[float]], batch: Batch) -> float:
    same = took.get(_key(batch))
    alike = [
        fmean(values)
        for (variant, role, _), values in took.items()
        if variant == batch.variant and role == Batch.Role.MEASURED
    ]
    measured = [fmean(values) for (_, role, _), values in took.items() if role == Batch.Role.MEASURED]
    return fmean(same or alike or measured or [fmean(values) for values in took.values()])


def _before(comparison: Comparison, batches: Iterable[Batch]) -> float | None:
    pools = list(dict.fromkeys(batch.pool for batch in batches))
    costs = _costs_per_job_s(comparison.definition, comparison.params, variants_of(pools, comparison.vary))
    if not costs:
        return None
    if comparison.arrival_rate_per_s:
        costs = {pool: max(cost, 1 / comparison.arrival_rate_per_s) for pool, cost in costs.items()}
    return sum(_batch_s(costs, batch.variant, copies_of(comparison, batch)) for batch in batches)


def _batch_s(costs: Mapping[str, float], variant: str, copies: int) -> float:
    return costs.get(variant, fmean(costs.values())) * copies + _COST_PER_BATCH_S


def estimate_before(
    definition: str,
    params: Mapping[str, Any],
    pools: Sequence[str],
    preset: str | Preset,
    vary: Vary | None = None,
) -> float | None:
    """Return the seconds that a comparison would take, from earlier runs of the job; None if there were none.

    Raise UnknownDefinition, InvalidParameters, and KeyError for an unknown preset.
    """
    compared = variants_of(pools, vary)
    chosen = PRESETS[preset] if isinstance(preset, str) else preset
    if chosen.budget_s is not None:
        return chosen.budget_s + len(compared) * _BEFORE_ROUNDS_S * (1 + chosen.calibrate)
    costs = _costs_per_job_s(definition, definitions.get(definition).validate(params), compared)
    if not costs:
        return None
    batches = chosen.rounds + chosen.warmup + chosen.calibrate
    return sum(batches * _batch_s(costs, variant.name, chosen.copies) for variant in compared)


def _costs_per_job_s(
    definition: str, params: Mapping[str, Any], compared: Iterable[Variant]
) -> dict[str, float]:
    costs = {variant.name: _cost_per_job_s(definition, params, variant) for variant in compared}
    return {name: cost for name, cost in costs.items() if cost is not None}


def _cost_per_job_s(definition: str, params: Mapping[str, Any], variant: Variant) -> float | None:
    """Return the makespan per job in seconds: of the newest batches like it, or estimated from single jobs."""
    pool, whole = variant.pool, {**params, **(variant.params or {})}
    batches = (
        Batch.objects.filter(
            comparison__definition=definition,
            comparison__params=params,
            label=variant.label,
            comparison__in_flight=None,
            comparison__arrival_rate_per_s=None,
            comparison__imported_at=None,
            pool=pool,
            role=Batch.Role.MEASURED,
            wanted_slots=None,
            void_reason="",
            released_at__isnull=False,
            finished_at__isnull=False,
        )
        .select_related("comparison")
        .order_by("-finished_at")[:_PAST_BATCHES]
    )
    past = [
        (batch.finished_at - batch.released_at).total_seconds() / copies_of(batch.comparison, batch)
        for batch in batches
        if batch.finished_at and batch.released_at
    ]
    return median(past) if past else _cost_of_single_jobs_s(definition, whole, pool)


def _cost_of_single_jobs_s(definition: str, params: Mapping[str, Any], pool: str) -> float | None:
    jobs = Job.objects.filter(
        definition=definition, params=params, state=JobState.SUCCEEDED, run_s__isnull=False
    )
    newest = jobs.order_by("-created_at").values_list("run_s", "cpu_s")[:_PAST_JOBS]
    if not newest or pool not in all_pools():
        return None
    run_s = median(run for run, _ in newest if run is not None)
    cpu_s = median(cpu or 0.0 for _, cpu in newest)
    return max(run_s / get_pool(pool).concurrency, cpu_s / cores()) + _COST_PER_JOB_S
