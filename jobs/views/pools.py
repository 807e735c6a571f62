"""The state of the pools, as the pages show it."""

from dataclasses import dataclass

from jobs.models import Job
from jobs.pools import PoolSpec, all_pools
from jobs.submission import queue_state


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


def pool_state(spec: PoolSpec) -> PoolState:
    """Return the state of one pool."""
    state = queue_state(spec.name)
    beats = state.workers or []
    return PoolState(
        spec=spec,
        is_known=state.workers is not None,
        workers=len(beats),
        slots=sum(beat.slots for beat in beats),
        in_use=sum(beat.in_use for beat in beats),
        queued=state.queued,
        oldest_s=state.oldest_s or 0.0,
    )


def pool_states() -> list[PoolState]:
    """Return the state of every pool, in the order of the settings."""
    return [pool_state(spec) for spec in all_pools().values()]


def pool_of(job: Job) -> PoolState | None:
    """Return the state of a job's pool, or None when the settings no longer declare it."""
    spec = all_pools().get(job.pool)
    return pool_state(spec) if spec else None
