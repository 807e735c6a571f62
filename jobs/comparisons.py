"""Plan a comparison and release its blocks one after another, never two pools at once."""

import random
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import Count, Q
from django.utils import timezone

from jobs import definitions, heartbeats
from jobs.errors import BrokerUnavailable, InvalidParameters, PoolwiseError
from jobs.models import Block, Comparison, Job
from jobs.pools import get_pool
from jobs.publishing import publish
from jobs.submission import cancel, submit

if TYPE_CHECKING:
    from django.contrib.auth.models import User

log = structlog.get_logger(__name__)


def plan(
    definition: str,
    params: Mapping[str, Any],
    pools: Sequence[str],
    copies: int,
    *,
    rounds: int = 1,
    seed: int = 0,
    user: "User | None" = None,
) -> Comparison:
    """Store a comparison with its blocks; the coordinator runs it. The order of the pools is shuffled in each round.

    Raise UnknownDefinition, UnknownPool, Unavailable or InvalidParameters; then nothing is stored.
    """
    found = definitions.get(definition)
    if not pools or len(set(pools)) != len(pools):
        raise InvalidParameters({"pools": "Name one pool or more, each once."})
    for name in pools:
        get_pool(name)
    if reason := found.unavailable():
        raise InvalidParameters({"definition": reason})
    if not 1 <= copies <= settings.JOB_MAX_COPIES:
        raise InvalidParameters({"copies": f"Choose 1 to {settings.JOB_MAX_COPIES} copies."})
    if not 1 <= rounds <= 100:
        raise InvalidParameters({"rounds": "Choose 1 to 100 rounds."})
    with transaction.atomic():
        comparison = Comparison.objects.create(
            definition=found.name,
            params=found.validate(params),
            copies=copies,
            rounds=rounds,
            seed=seed,
            user=user if user is not None and user.pk else None,
        )
        Block.objects.bulk_create(_blocks(comparison, pools))
    return comparison


def _blocks(comparison: Comparison, pools: Sequence[str]) -> list[Block]:
    order = random.Random(comparison.seed)  # noqa: S311 - reproducible by its seed, no secret
    blocks: list[Block] = []
    for number in range(1, comparison.rounds + 1):
        shuffled = list(pools)
        if comparison.rounds > 1:
            order.shuffle(shuffled)
        for pool in shuffled:
            blocks.append(Block(comparison=comparison, pool=pool, round=number, position=len(blocks) + 1))
    return blocks


def advance() -> int:
    """Finish blocks whose jobs have ended and release the next of each comparison; return how many were released.

    Only one comparison runs at a time, the oldest first, so that none disturbs another.
    """
    comparison = (
        Comparison.objects.filter(state__in=(Comparison.State.PLANNED, Comparison.State.RUNNING))
        .order_by("created_at", "id")
        .first()
    )
    if comparison is None:
        return 0
    block = comparison.blocks.filter(finished_at=None).order_by("position").first()
    if block is not None and block.released_at is not None:
        if not _finish(block):
            return 0
        block = comparison.blocks.filter(finished_at=None).order_by("position").first()
    if block is None:
        _close(comparison)
        return advance()
    try:
        return 1 if _release(comparison, block) else 0
    except PoolwiseError as error:  # its definition or pool was there when it was planned
        log.error(
            "a comparison cannot go on and is cancelled", comparison=str(comparison.pk), error=str(error)
        )
        stop(comparison)
        return 0


def _finish(block: Block) -> bool:
    if Job.objects.live().filter(block=block).exists():
        return False
    Block.objects.filter(pk=block.pk, finished_at=None).update(finished_at=timezone.now())
    return True


def _release(comparison: Comparison, block: Block) -> bool:
    """Claim the block and create its jobs in one transaction, then publish them."""
    now = timezone.now()
    slots = _slots_of(block.pool)
    with transaction.atomic():
        # The row is locked from here on: whoever cancels the comparison now finds the jobs, too.
        live = Comparison.objects.filter(
            pk=comparison.pk, state__in=(Comparison.State.PLANNED, Comparison.State.RUNNING)
        ).update(state=Comparison.State.RUNNING)
        if not live or not Block.objects.filter(pk=block.pk, released_at=None).update(
            released_at=now, slots=slots
        ):
            return False  # it was cancelled, or another coordinator got there first
        jobs = submit(
            comparison.definition,
            comparison.params,
            pool=block.pool,
            copies=comparison.copies,
            user=comparison.user,
            request_id=f"comparison-{comparison.pk.hex[:12]}",
            block=block,
        )
    publish(jobs, budget_s=10.0)
    log.info("block released", comparison=str(comparison.pk), pool=block.pool, round=block.round)
    return True


def _slots_of(pool: str) -> int:
    try:
        live = heartbeats.pools_up().get(pool, [])
    except BrokerUnavailable:
        live = []
    return sum(worker.slots for worker in live) or get_pool(pool).concurrency


def _close(comparison: Comparison) -> None:
    Comparison.objects.filter(pk=comparison.pk).exclude(state=Comparison.State.CANCELLED).update(
        state=Comparison.State.FINISHED, finished_at=timezone.now()
    )


def stop(comparison: Comparison, *, user: "User | None" = None) -> None:
    """Cancel a comparison: blocks not released stay so, live jobs are cancelled."""
    Comparison.objects.filter(pk=comparison.pk).exclude(state=Comparison.State.FINISHED).update(
        state=Comparison.State.CANCELLED, finished_at=timezone.now()
    )
    for job in Job.objects.live().filter(block__comparison=comparison):
        cancel(job, user=user)


def progress(comparison: Comparison) -> dict[str, dict[str, int]]:
    """Return, per pool, how many jobs are planned, have begun and have ended."""
    planned = dict(comparison.blocks.order_by().values_list("pool").annotate(n=Count("id")))
    counts = (
        Job.objects.filter(block__comparison=comparison)
        .order_by()
        .values("pool")
        .annotate(
            begun=Count("id", filter=~Q(state="queued")),
            ended=Count("id", filter=Q(state__in=("succeeded", "failed", "cancelled"))),
        )
    )
    by_pool: dict[str, Any] = {row["pool"]: row for row in counts}
    return {
        pool: {
            "planned": blocks * comparison.copies,
            "begun": by_pool.get(pool, {}).get("begun", 0),
            "ended": by_pool.get(pool, {}).get("ended", 0),
        }
        for pool, blocks in planned.items()
    }
