"""Samples of each pool every few seconds: the data of the charts over time."""

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
    """Store a sample of each pool; return the queues, including those of undeclared pools."""
    alive = [heartbeat for heartbeat in heartbeats.read_all(client) if heartbeat.is_alive]
    queues_by_pool, now = queues(), timezone.now()
    PoolSample.objects.bulk_create(
        _sample_of(name, queues_by_pool.get(name, Queue()), alive, now) for name in all_pools()
    )
    pool_history.note(alive, now)
    return queues_by_pool


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
    """Delete samples and configurations older than `JOB_SAMPLE_KEEP_DAYS`."""
    keep_from = timezone.now() - timedelta(days=settings.JOB_SAMPLE_KEEP_DAYS)
    PoolSample.objects.filter(at__lt=keep_from).delete()
    pool_history.prune(keep_from)
