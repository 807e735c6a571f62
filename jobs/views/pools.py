"""The state of the pools, as the pages show it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, Min
from django.utils import timezone

from jobs.errors import BrokerUnavailable
from jobs.heartbeats import WorkerBeat, pools_up
from jobs.models import Job
from jobs.pools import PoolSpec, all_pools


@dataclass(frozen=True, slots=True)
class PoolState:
    """One pool now; what the workers say is unknown while Redis is away."""

    spec: PoolSpec
    is_known: bool
    workers: int
    slots: int
    in_use: int
    queued: int
    oldest_s: float

    @property
    def name(self) -> str:
        """Return the pool's name."""
        return self.spec.name

    @property
    def is_up(self) -> bool:
        """Return whether a worker is known to serve the pool."""
        return self.workers > 0

    @property
    def is_down(self) -> bool:
        """Return whether no worker is known to serve the pool."""
        return self.is_known and not self.workers


def pool_states() -> list[PoolState]:
    """Return the state of every pool, in the order of the settings."""
    beats = _beats()
    queues = {row["pool"]: row for row in _queues()}
    return [_state(spec, beats, queues.get(spec.name, {})) for spec in all_pools().values()]


def pool_of(job: Job) -> PoolState | None:
    """Return the state of a job's pool, or None when the settings no longer declare it."""
    spec = all_pools().get(job.pool)
    return _state(spec, _beats(), {}) if spec else None


def _beats() -> dict[str, list[WorkerBeat]] | None:
    try:
        return pools_up()
    except BrokerUnavailable:
        return None


def _queues() -> Iterable[Mapping[str, Any]]:
    by_pool = Job.objects.queued().order_by().values("pool")
    return by_pool.annotate(queued=Count("pk"), oldest=Min("created_at"))


def _state(
    spec: PoolSpec, by_pool: dict[str, list[WorkerBeat]] | None, queue: Mapping[str, Any]
) -> PoolState:
    beats = (by_pool or {}).get(spec.name, [])
    oldest = queue.get("oldest")
    return PoolState(
        spec=spec,
        is_known=by_pool is not None,
        workers=len(beats),
        slots=sum(beat.slots for beat in beats),
        in_use=sum(beat.in_use for beat in beats),
        queued=queue.get("queued", 0),
        oldest_s=max(0.0, (timezone.now() - oldest).total_seconds()) if oldest else 0.0,
    )
