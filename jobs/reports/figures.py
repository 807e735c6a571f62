"""What a block, a pool and a comparison came to, in the shape that `compare --json` writes."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from statistics import median
from typing import Any, NamedTuple
from uuid import UUID

from django.conf import settings

from jobs.models import ENDED, Block, Comparison, Job, State
from jobs.statistics import quantile, share

Figures = dict[str, Any]


class Run(NamedTuple):
    """The columns of one job that figures are made of; stamps are aware datetimes, durations seconds."""

    id: UUID

    block_id: int | None
    state: str
    published_at: datetime | None
    finished_at: datetime | None
    broker_wait_s: float | None
    worker_wait_s: float | None
    run_s: float | None
    cpu_s: float | None
    attempt: int
    history: Sequence[Mapping[str, Any]]
    received_at: datetime | None = None
    started_at: datetime | None = None
    run_queue_s: float | None = None
    gil_wait_s: float | None = None
    blocked_s: float | None = None
    stall_s: float | None = None
    caused_stall_s: float | None = None
    worker: str = ""


def read_runs(blocks: Iterable[Block]) -> list[Run]:
    """Return the jobs of the blocks."""
    rows = Job.objects.filter(block__in=list(blocks)).order_by()
    return [Run(*row) for row in rows.values_list(*Run._fields)]


def counted(blocks: Iterable[Block]) -> list[Block]:
    """Return the blocks that count for the result: measured, not void; of a sweep those at the most slots."""
    measured = [block for block in blocks if block.role == Block.Role.MEASURED and not block.void_reason]
    most: dict[str, int] = {}
    for block in measured:
        most[block.arm] = max(most.get(block.arm, 0), block.wanted_slots or 0)
    return [block for block in measured if (block.wanted_slots or 0) == most[block.arm]]


def block_figures(block: Block) -> Figures:
    """Return one block in figures."""
    return pool_figures(block.arm, read_runs([block]), slots=block.slots, pool=block.pool)


def comparison_figures(comparison: Comparison) -> Figures:
    """Return the comparison in figures, pooled over its rounds, the pools in the order they first ran."""
    blocks = counted(comparison.blocks.order_by("position"))
    runs = read_runs(blocks)
    pools = []
    for name in dict.fromkeys(block.arm for block in blocks):
        own = [block for block in blocks if block.arm == name]
        ids = {block.pk for block in own}
        slots = next((block.slots for block in reversed(own) if block.slots is not None), None)
        found = [run for run in runs if run.block_id in ids]
        pools.append(pool_figures(name, found, slots=slots, pool=own[0].pool))
    return {
        "definition": comparison.definition,
        "params": comparison.shown_params,
        "copies": comparison.copies,
        "rounds": comparison.rounds,
        "pools": with_speed_up(pools),
    }


def pool_figures(name: str, runs: Sequence[Run], *, slots: int | None, pool: str = "") -> Figures:
    """Return a pool's jobs in figures; `pool` is the pool where `name` is that of an arm.

    Durations are seconds, None where nothing was measured. `makespan_s` is first published to last finished
    of a block, the median over blocks; a block counts once every job of it has ended.
    """
    states = Counter(run.state for run in runs)
    declared = settings.JOB_POOLS.get(pool or name, {})
    makespans = _makespans(runs)
    return {
        "name": name,
        "pool": pool or name,
        "model": declared.get("model", pool or name),
        "slots": declared.get("concurrency") if slots is None else slots,
        "jobs": len(runs),
        "succeeded": states[State.SUCCEEDED],
        "failed": states[State.FAILED],
        "cancelled": states[State.CANCELLED],
        "unfinished": sum(count for state, count in states.items() if state not in ENDED),
        "makespan_s": median(makespans) if makespans else None,
        "makespans_s": makespans,
        "run_s": _spread(run.run_s for run in runs),
        "broker_wait_s": _spread(run.broker_wait_s for run in runs),
        "worker_wait_s": _spread(run.worker_wait_s for run in runs),
        "cpu_s": _spread(run.cpu_s for run in runs),
        "cpu_share": share([run.cpu_s for run in runs], [run.run_s for run in runs]),
    }


def _spread(values: Iterable[float | None]) -> dict[str, float | None]:
    # A program reads these beside `jobs`, so they are there for small samples too, unlike on a page.
    sample = list(values)
    return {"p50": quantile(sample, 0.5), "p95": quantile(sample, 0.95)}


def _makespans(runs: Sequence[Run]) -> list[float]:
    blocks: dict[int | None, list[Run]] = {}
    for run in runs:
        blocks.setdefault(run.block_id, []).append(run)
    return [span for block in blocks.values() if (span := _makespan_s(block)) is not None]


def _makespan_s(runs: Sequence[Run]) -> float | None:
    if any(run.state not in ENDED for run in runs):
        return None
    published = [stamp for run in runs if (stamp := first_published(run)) is not None]
    finished = [run.finished_at for run in runs if run.finished_at is not None]
    if not published or not finished:
        return None
    return max(0.0, (max(finished) - min(published)).total_seconds())


def first_published(run: Run) -> datetime | None:
    """Return when the message of the job's first attempt was published."""
    # A retried job's own column speaks of its newest attempt; the makespan counts from the first.
    for attempt in run.history if run.attempt > 1 else ():
        stamp = attempt.get("published_at")
        if isinstance(stamp, int | float):
            return datetime.fromtimestamp(stamp, UTC)
        if isinstance(stamp, str):
            return datetime.fromisoformat(stamp)
    return run.published_at


def with_speed_up(pools: Sequence[Mapping[str, Any]]) -> list[Figures]:
    """Return the pools with how many times faster each was than the slowest, by their makespans."""
    spans = [pool["makespan_s"] for pool in pools if pool["makespan_s"]]
    slowest = max(spans, default=None)
    return [
        {**pool, "speed_up": slowest / pool["makespan_s"] if slowest and pool["makespan_s"] else None}
        for pool in pools
    ]
