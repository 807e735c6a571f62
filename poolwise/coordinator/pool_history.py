"""What each pool ran with, and from when: the coordinator notes it, the dashboard marks its changes."""

from collections.abc import Sequence
from datetime import datetime

from django.db.models import OuterRef, Q, Subquery

from poolwise.lifecycle import heartbeats
from poolwise.models import Comparison, PoolConfiguration
from poolwise.pools import PoolSpec, all_pools
from poolwise.reports import PoolDetails, latest_configurations


def details_of(spec: PoolSpec, workers: Sequence[heartbeats.WorkerHeartbeat]) -> PoolDetails:
    """Return what a pool runs with: its model, the slots of all its workers, their versions."""
    versions: dict[str, set[str]] = {}
    for worker in workers:
        for name, value in worker.versions.items():
            versions.setdefault(name, set()).add(str(value))
    # Two releases side by side, while workers are replaced one by one, read as «5.6.0, 5.7.0».
    joined = {name: ", ".join(sorted(values)) for name, values in sorted(versions.items())}
    return {"model": spec.model, "slots": sum(worker.slots for worker in workers), **joined}


def note(alive: Sequence[heartbeats.WorkerHeartbeat], now: datetime) -> int:
    """Write a row for each pool that runs with something else than before; return how many.

    A pool without workers runs with nothing that is worth a mark, and while a comparison runs, it sets slots.
    """
    if Comparison.objects.filter(Q(state=Comparison.State.RUNNING) | Q(changed_slots__isnull=False)).exists():
        return 0
    before = latest_configurations()
    found = []
    for name, spec in all_pools().items():
        workers = [heartbeat for heartbeat in alive if heartbeat.pool == name]
        if workers and (details := details_of(spec, workers)) != before.get(name):
            found.append(PoolConfiguration(pool=name, at=now, details=details))
    PoolConfiguration.objects.bulk_create(found)
    return len(found)


def prune(keep_from: datetime) -> None:
    """Delete what is older than the samples, save what each pool runs with still."""
    newest = PoolConfiguration.objects.filter(pool=OuterRef("pool")).order_by("-at", "-pk").values("pk")[:1]
    PoolConfiguration.objects.filter(at__lt=keep_from).exclude(pk=Subquery(newest)).delete()
