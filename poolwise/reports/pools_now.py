"""The pools now: their workers by heartbeats, their queues by the database."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.utils import timezone

from poolwise.lifecycle import heartbeats
from poolwise.models import Pause
from poolwise.pools import all_pools
from poolwise.reports.notices import REDIS_AWAY, Notice, no_broker, no_coordinator, no_worker
from poolwise.reports.queues import Queue, queues
from poolwise.support import BrokerUnavailable, count, seconds


@dataclass(frozen=True, slots=True)
class PoolNow:
    """One pool now; `workers` is None (unknown) while Redis is unavailable."""

    name: str
    workers: Sequence[heartbeats.WorkerHeartbeat] | None
    queued: int = 0
    running: int = 0
    oldest_s: float | None = None
    #: `paused` or `draining` if its queued jobs wait, whether it has workers or not.
    pause_state: str = ""
    #: Scheduled jobs wait for their time, not for a slot.
    scheduled: int = 0

    @property
    def pause_text(self) -> str:
        """Return the pause state as text, empty if it is not paused."""
        if self.pause_state == Pause.State.DRAINING:
            # A job that began a moment ago is not recorded yet: its worker counts it.
            running = max(self.running, self.in_use)
            return f"Draining: {running:,} still running" if running else "Drained"
        return "Paused" if self.pause_state else ""

    @property
    def state(self) -> str:
        """Return `up`, `down` or `unknown`."""
        if self.workers is None:
            return "unknown"
        return "up" if self.workers else "down"

    @property
    def state_text(self) -> str:
        """Return the state as text."""
        if self.workers and len(self.unconnected) == len(self.workers):
            return "Up, but without a broker"
        known = {"up": "Up", "down": "No worker", "unknown": "Unknown: Redis is unavailable"}
        return known[self.state]

    @property
    def paused_notice(self) -> Notice:
        """Return the notice that its jobs wait."""
        effect = f"Its queued jobs wait: {self.running:,} running, {self.queued:,} queued."
        return Notice(f"The pool {self.name} is {self.pause_state}.", effect, resume=self.name)

    @property
    def disconnected_notice(self) -> Notice:
        """Return the notice that some of its workers have lost their broker."""
        return no_broker(self.name, f"{len(self.unconnected)} of {len(self.workers or ())}")

    @property
    def unserved_notice(self) -> Notice:
        """Return the notice that no worker serves it."""
        oldest = f", the oldest for {seconds(self.oldest_s)}" if self.oldest_s else ""
        return no_worker(self.name, effect=f"{count(self.queued, 'job')} queued{oldest}.")

    @property
    def unconnected(self) -> list[heartbeats.WorkerHeartbeat]:
        """Return the running workers that have lost their broker: they receive no jobs."""
        return [worker for worker in self.workers or () if not worker.is_connected]

    @property
    def slots(self) -> int:
        """Return the slots of all its workers."""
        return sum(worker.slots for worker in self.workers or ())

    @property
    def in_use(self) -> int:
        """Return the slots where a job runs."""
        return sum(worker.in_use for worker in self.workers or ())

    @property
    def memory_bytes(self) -> int:
        """Return the memory of all its workers."""
        return sum(worker.memory_bytes for worker in self.workers or ())

    @property
    def refused(self) -> int:
        """Return how many forged or malformed messages its workers have refused since they started."""
        return sum(worker.refused for worker in self.workers or ())

    @property
    def loop_lag_s(self) -> float | None:
        """Return the longest event-loop lag of its workers."""
        return max((worker.loop_lag_s for worker in self.workers or ()), default=None)

    @property
    def seen_s_ago(self) -> float | None:
        """Return the age of its workers' last heartbeats, of the oldest one."""
        return max((worker.seen_s_ago for worker in self.workers or ()), default=None)


@dataclass(frozen=True, slots=True)
class PoolsNow:
    """All pools now, by name; `has_coordinator` is None (unknown) while Redis is unavailable."""

    pools: dict[str, PoolNow]
    has_coordinator: bool | None

    @property
    def redis_is_away(self) -> bool:
        """Return whether Redis did not answer."""
        return self.has_coordinator is None

    @property
    def platform(self) -> Notice | None:
        """Return the problem that affects all pools, None if there is none."""
        if self.redis_is_away:
            return REDIS_AWAY
        return None if self.has_coordinator else no_coordinator()

    @property
    def notices(self) -> list[Notice]:
        """Return all problems; while Redis is unavailable no other is known."""
        platform = [self.platform] if self.platform else []
        if self.redis_is_away:
            return platform
        pools = self.pools.values()
        paused = [pool.paused_notice for pool in pools if pool.pause_state]
        disconnected = [pool.disconnected_notice for pool in pools if pool.unconnected]
        unserved = [pool.unserved_notice for pool in pools if pool.state == "down" and pool.queued]
        return [*platform, *paused, *disconnected, *unserved]


def pools_now() -> PoolsNow:
    """Return the state of every pool; waits for Redis 0.3 s at most."""
    try:
        workers = heartbeats.pools_up()
        has_coordinator: bool | None = heartbeats.coordinator_is_up()
    except BrokerUnavailable:
        workers, has_coordinator = None, None
    waiting, now = queues(), timezone.now()
    pause_states = dict(Pause.objects.filter(kind=Pause.Kind.POOL).values_list("name", "state"))
    pools = {}
    for name in all_pools():
        queue = waiting.get(name, Queue())
        pool_workers = None if workers is None else workers.get(name, [])
        pools[name] = PoolNow(
            *(name, pool_workers, queue.queued, queue.running, queue.oldest_s(now)),
            pause_state=pause_states.get(name, ""),
            scheduled=queue.scheduled,
        )
    return PoolsNow(pools, has_coordinator)
