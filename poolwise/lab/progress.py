"""How many jobs of a comparison have ended, what it waits for, and how long it will take."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from statistics import fmean, median
from typing import Any, TypedDict

from django.db.models import Count, Q
from django.utils import timezone

from poolwise import definitions
from poolwise.lab.feed import copies_of, delay_reason
from poolwise.lab.presets import PRESETS, Preset
from poolwise.lab.run import LIVE, open_batch, unserved
from poolwise.lab.variants import Variant, Vary, variants_of
from poolwise.lifecycle import heartbeats
from poolwise.models import ENDED, Batch, Comparison, Job, JobState
from poolwise.pools import all_pools, get_pool
from poolwise.reports import REDIS_AWAY, no_coordinator, no_worker
from poolwise.support import BrokerUnavailable, cores

_PAST_BATCHES = 5
_PAST_JOBS = 100
#: Assumed overhead where there was no earlier batch.
_COST_PER_JOB_S = 0.003
_COST_PER_BATCH_S = 1.0


class PoolProgress(TypedDict):
    """Jobs of one variant; `note` is what its batch waits for, or empty."""

    planned: int
    begun: int
    ended: int
    note: str


def progress(comparison: Comparison) -> dict[str, PoolProgress]:
    """Return, per variant, how many jobs are planned, started and ended; a repeated batch counts once."""
    batches = list(comparison.batches.order_by("position"))
    valid = [batch for batch in batches if not batch.void_reason]
    if comparison.state == Comparison.State.CANCELLED:
        valid = batches
    counts = (
        Job.objects.filter(batch__in=valid)
        .order_by()
        .values("batch__pool", "batch__label")
        .annotate(
            begun=Count("id", filter=~Q(state=JobState.QUEUED)), ended=Count("id", filter=Q(state__in=ENDED))
        )
    )
    by_variant: dict[str, Any] = {row["batch__label"] or row["batch__pool"]: row for row in counts}
    waiting, note = waits_for(comparison)
    by_name: dict[str, PoolProgress] = {}
    for batch in batches:
        row = by_variant.get(batch.variant, {})
        so_far = by_name.setdefault(
            batch.variant,
            PoolProgress(
                planned=0,
                begun=row.get("begun", 0),
                ended=row.get("ended", 0),
                note=note if batch.pool == waiting else "",
            ),
        )
        if batch in valid or batch.finished_at is None:
            so_far["planned"] += copies_of(comparison, batch)
    return by_name


def waits_for(comparison: Comparison) -> tuple[str, str]:
    """Return the pool of the next batch, and what the batch waits for; empty if it runs."""
    batch = open_batch(comparison) if comparison.state in LIVE else None
    if batch is None:
        return "", ""
    if reason := delay_reason(batch):
        return batch.pool, reason
    if batch.void_reason:
        return batch.pool, f"The batch is invalid and will be repeated. {batch.void_reason}"
    others = Comparison.objects.filter(state=Comparison.State.RUNNING).exclude(pk=comparison.pk)
    if comparison.state == Comparison.State.PLANNED and others.exists():
        return batch.pool, "Waiting for another comparison to finish."
    try:
        up, coordinated = heartbeats.pools_up(), heartbeats.coordinator_is_up()
    except BrokerUnavailable:
        return batch.pool, REDIS_AWAY.problem
    if not coordinated:
        return batch.pool, no_coordinator().problem
    for pool in unserved(comparison, up) or [batch.pool]:
        if pool not in up:
            return pool, str(no_worker(pool))
    slots = sum(worker.slots for worker in up[batch.pool])
    if batch.released_at is None and batch.wanted_slots not in (None, slots):
        return batch.pool, f"Setting the slots of {batch.pool} to {batch.wanted_slots}."
    return batch.pool, ""


type _Key = tuple[str, str, int | None]


def _key(batch: Batch) -> _Key:
    return batch.variant, batch.role, batch.wanted_slots


def estimate_s(comparison: Comparison) -> float | None:
    """Return the seconds left, from the batches that have ended, or else from earlier runs; None without either."""
    if comparison.state not in LIVE:
        return 0.0
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
    chosen = (PRESETS[preset] if isinstance(preset, str) else preset).for_variants(len(compared))
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
        (batch.finished_at - batch.released_at).total_seconds() / batch.comparison.copies
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
