"""How far a comparison is, what it waits for, and how long it will take."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from statistics import fmean, median
from typing import Any, TypedDict

from django.db.models import Count, Q
from django.utils import timezone

from jobs import definitions, heartbeats
from jobs.comparisons.arms import Arm, Vary, arms_of
from jobs.comparisons.feeding import copies_of, held_up
from jobs.comparisons.presets import PRESETS, Preset
from jobs.comparisons.run import LIVE, open_block, unserved
from jobs.cores import cores
from jobs.errors import BrokerUnavailable
from jobs.models import ENDED, Block, Comparison, Job, State
from jobs.pools import all_pools, get_pool
from jobs.reports.notices import REDIS_AWAY, no_coordinator, no_worker

_PAST_BLOCKS = 5
_PAST_JOBS = 100
#: What a job costs beside its run, and a block beside its jobs, where no earlier run tells.
_COST_A_JOB_S = 0.003
_COST_A_BLOCK_S = 1.0


class PoolProgress(TypedDict):
    """Jobs of one pool; `note` says what its block waits for, if it does."""

    planned: int
    begun: int
    ended: int
    note: str


def progress(comparison: Comparison) -> dict[str, PoolProgress]:
    """Return, per arm, how many jobs are planned, have begun and have ended; what is repeated counts once."""
    blocks = list(comparison.blocks.order_by("position"))
    valid = [block for block in blocks if not block.void_reason]
    if comparison.state == Comparison.State.CANCELLED:
        valid = blocks
    counts = (
        Job.objects.filter(block__in=valid)
        .order_by()
        .values("block__pool", "block__label")
        .annotate(
            begun=Count("id", filter=~Q(state=State.QUEUED)), ended=Count("id", filter=Q(state__in=ENDED))
        )
    )
    by_arm: dict[str, Any] = {row["block__label"] or row["block__pool"]: row for row in counts}
    waiting, note = waits_for(comparison)
    found: dict[str, PoolProgress] = {}
    for block in blocks:
        row = by_arm.get(block.arm, {})
        so_far = found.setdefault(
            block.arm,
            PoolProgress(
                planned=0,
                begun=row.get("begun", 0),
                ended=row.get("ended", 0),
                note=note if block.pool == waiting else "",
            ),
        )
        if block in valid or block.finished_at is None:
            so_far["planned"] += copies_of(comparison, block)
    return found


def waits_for(comparison: Comparison) -> tuple[str, str]:
    """Return the pool whose turn it is, and what its block waits for; empty if it runs."""
    block = open_block(comparison) if comparison.state in LIVE else None
    if block is None:
        return "", ""
    if held := held_up(block):
        return block.pool, held
    if block.void_reason:
        return block.pool, f"The block is void and will be repeated. {block.void_reason}"
    others = Comparison.objects.filter(state=Comparison.State.RUNNING).exclude(pk=comparison.pk)
    if comparison.state == Comparison.State.PLANNED and others.exists():
        return block.pool, "It waits for another comparison to end."
    try:
        up, coordinated = heartbeats.pools_up(), heartbeats.coordinator_is_up()
    except BrokerUnavailable:
        return block.pool, REDIS_AWAY.problem
    if not coordinated:
        return block.pool, no_coordinator().problem
    for pool in unserved(comparison, up) or [block.pool]:
        if pool not in up:
            return pool, str(no_worker(pool))
    slots = sum(worker.slots for worker in up[block.pool])
    if block.released_at is None and block.wanted_slots not in (None, slots):
        return block.pool, f"The slots of {block.pool} are being set to {block.wanted_slots}."
    return block.pool, ""


type _Key = tuple[str, str, int | None]


def _key(block: Block) -> _Key:
    return block.arm, block.role, block.wanted_slots


def estimate_s(comparison: Comparison) -> float | None:
    """Return the seconds left, from the blocks that have ended, or else from earlier runs; None if nothing tells."""
    if comparison.state not in LIVE:
        return 0.0
    blocks = list(comparison.blocks.order_by("position"))
    took = _took(blocks)
    if not took:
        return _before(comparison, blocks)
    left_s = 0.0
    for block in blocks:
        if block.finished_at is None:
            expected_s = _expected_s(took, block)
            if block.released_at is not None:
                expected_s = max(0.0, expected_s - (timezone.now() - block.released_at).total_seconds())
            left_s += expected_s
    return left_s


def _took(blocks: Sequence[Block]) -> dict[_Key, list[float]]:
    """Return how long each kind of block took, what came between it and the block before included."""
    took: dict[_Key, list[float]] = defaultdict(list)
    before: datetime | None = None
    for block in blocks:
        if block.released_at is not None and block.finished_at is not None:
            took[_key(block)].append((block.finished_at - (before or block.released_at)).total_seconds())
            before = block.finished_at
    return took


def _expected_s(took: Mapping[_Key, list[float]], block: Block) -> float:
    same = took.get(_key(block))
    alike = [
        fmean(values)
        for (arm, role, _), values in took.items()
        if arm == block.arm and role == Block.Role.MEASURED
    ]
    measured = [fmean(values) for (_, role, _), values in took.items() if role == Block.Role.MEASURED]
    return fmean(same or alike or measured or [fmean(values) for values in took.values()])


def _before(comparison: Comparison, blocks: Iterable[Block]) -> float | None:
    pools = list(dict.fromkeys(block.pool for block in blocks))
    costs = _costs_a_job_s(comparison.definition, comparison.params, arms_of(pools, comparison.vary))
    if not costs:
        return None
    if comparison.arrival_rate_per_s:
        costs = {pool: max(cost, 1 / comparison.arrival_rate_per_s) for pool, cost in costs.items()}
    return sum(_block_s(costs, block.arm, copies_of(comparison, block)) for block in blocks)


def _block_s(costs: Mapping[str, float], arm: str, copies: int) -> float:
    return costs.get(arm, fmean(costs.values())) * copies + _COST_A_BLOCK_S


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
    compared = arms_of(pools, vary)
    chosen = (PRESETS[preset] if isinstance(preset, str) else preset).for_arms(len(compared))
    costs = _costs_a_job_s(definition, definitions.get(definition).validate(params), compared)
    if not costs:
        return None
    blocks = chosen.rounds + chosen.warmup + chosen.calibrate
    return sum(blocks * _block_s(costs, arm.name, chosen.copies) for arm in compared)


def _costs_a_job_s(definition: str, params: Mapping[str, Any], compared: Iterable[Arm]) -> dict[str, float]:
    found = {arm.name: _cost_a_job_s(definition, params, arm) for arm in compared}
    return {name: cost for name, cost in found.items() if cost is not None}


def _cost_a_job_s(definition: str, params: Mapping[str, Any], arm: Arm) -> float | None:
    """Return the seconds of a block's makespan a job: of the newest blocks like it, or from the runs of single jobs."""
    pool, whole = arm.pool, {**params, **(arm.params or {})}
    blocks = (
        Block.objects.filter(
            comparison__definition=definition,
            comparison__params=params,
            label=arm.label,
            comparison__in_flight=None,
            comparison__arrival_rate_per_s=None,
            comparison__imported_at=None,
            pool=pool,
            role=Block.Role.MEASURED,
            wanted_slots=None,
            void_reason="",
            released_at__isnull=False,
            finished_at__isnull=False,
        )
        .select_related("comparison")
        .order_by("-finished_at")[:_PAST_BLOCKS]
    )
    past = [
        (block.finished_at - block.released_at).total_seconds() / block.comparison.copies
        for block in blocks
        if block.finished_at and block.released_at
    ]
    return median(past) if past else _cost_of_single_jobs_s(definition, whole, pool)


def _cost_of_single_jobs_s(definition: str, params: Mapping[str, Any], pool: str) -> float | None:
    jobs = Job.objects.filter(
        definition=definition, params=params, state=State.SUCCEEDED, run_s__isnull=False
    )
    newest = jobs.order_by("-created_at").values_list("run_s", "cpu_s")[:_PAST_JOBS]
    if not newest or pool not in all_pools():
        return None
    run_s = median(run for run, _ in newest if run is not None)
    cpu_s = median(cpu or 0.0 for _, cpu in newest)
    return max(run_s / get_pool(pool).concurrency, cpu_s / cores()) + _COST_A_JOB_S
