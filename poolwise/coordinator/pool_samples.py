"""What each pool looks like, every few seconds: the history that charts and configurations are made of."""

from datetime import datetime, timedelta

from django.conf import settings
from django.utils import timezone

from poolwise.coordinator import pool_history
from poolwise.lifecycle import heartbeats
from poolwise.models import PoolSample
from poolwise.pools import all_pools
from poolwise.reports import Queue, queues
from poolwise.support import Client


def sample(client: Client) -> dict[str, Queue]:
    """Store what each pool looks like now; return the queues, also those of pools that are not declared."""
    alive = [heartbeat for heartbeat in heartbeats.read_all(client) if heartbeat.is_alive]
    found, now = queues(), timezone.now()
    PoolSample.objects.bulk_create(
        _sample_of(name, found.get(name, Queue()), alive, now) for name in all_pools()
    )
    pool_history.note(alive, now)
    return found


def _sample_of(name: str, queue: Queue, alive: list[heartbeats.WorkerHeartbeat], now: datetime) -> PoolSample:
    workers = [heartbeat for heartbeat in alive if heartbeat.pool == name]
    return PoolSample(
        pool=name,
        at=now,
        queued=queue.queued,
        running=queue.running,
        oldest_s=queue.oldest_s(now) or 0.0,
        workers=len(workers),
        slots=sum(heartbeat.slots for heartbeat in workers),
        memory_bytes=sum(heartbeat.memory_bytes for heartbeat in workers),
    )


def prune_samples() -> None:
    """Delete samples and configurations that are older than the settings keep."""
    keep_from = timezone.now() - timedelta(days=settings.JOB_SAMPLE_KEEP_DAYS)
    PoolSample.objects.filter(at__lt=keep_from).delete()
    pool_history.prune(keep_from)
