"""The configurations of each pool over time: the coordinator stores changes, the dashboard marks them."""

from collections.abc import Sequence
from datetime import datetime

from django.db.models import OuterRef, Q, Subquery

from poolwise.lifecycle import heartbeats
from poolwise.models import Comparison, PoolConfiguration
from poolwise.pools import PoolSpec, all_pools
from poolwise.reports import PoolDetails, latest_configurations


def details_of(spec: PoolSpec, workers: Sequence[heartbeats.WorkerHeartbeat]) -> PoolDetails:
    """Return a pool's configuration: its model, the slots of all its workers, their versions."""
    versions: dict[str, set[str]] = {}
    for worker in workers:
        for name, value in worker.versions.items():
            versions.setdefault(name, set()).add(str(value))
    # Two releases side by side, while workers are replaced one by one, read as «5.6.0, 5.7.0».
    joined = {name: ", ".join(sorted(values)) for name, values in sorted(versions.items())}
    return {"model": spec.model, "slots": sum(worker.slots for worker in workers), **joined}


def note(alive: Sequence[heartbeats.WorkerHeartbeat], now: datetime) -> int:
    """Store the configuration of each pool where it changed; return how many.

    Pools without workers are skipped, and so are all while a comparison runs, since it sets slots.
    """
    if Comparison.objects.filter(Q(state=Comparison.State.RUNNING) | Q(changed_slots__isnull=False)).exists():
        return 0
    latest = latest_configurations()
    changed = []
    for name, spec in all_pools().items():
        workers = [heartbeat for heartbeat in alive if heartbeat.pool == name]
        if workers and (details := details_of(spec, workers)) != latest.get(name):
            changed.append(PoolConfiguration(pool=name, at=now, details=details))
    PoolConfiguration.objects.bulk_create(changed)
    return len(changed)


def prune(keep_from: datetime) -> None:
    """Delete configurations before `keep_from`, except the latest of each pool."""
    newest = PoolConfiguration.objects.filter(pool=OuterRef("pool")).order_by("-at", "-pk").values("pk")[:1]
    PoolConfiguration.objects.filter(at__lt=keep_from).exclude(pk=Subquery(newest)).delete()
