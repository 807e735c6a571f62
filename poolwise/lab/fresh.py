"""Fresh workers between rounds: two starts of a worker differ, and that can pass for a difference between pools.

A command that has started the workers of its comparison itself starts them again every few rounds; the coordinator waits
for that. Workers of a running platform serve others too and stay.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from django.db.models import Max
from django.utils import timezone

from poolwise.lifecycle import heartbeats
from poolwise.models import Batch, Comparison

#: As simulated: with 3 % between two starts the best pool is never out (benchmarks/README.md).
EVERY_ROUNDS = 2
#: After this time the round runs on the workers that there are: the command may have been killed.
_PATIENCE_S = 60.0

type Workers = Mapping[str, Sequence[heartbeats.WorkerHeartbeat]]


def renew_workers(comparison: Comparison) -> None:
    """Note that the caller starts the workers of this comparison again whenever `run.to_renew` returns their pools."""
    if comparison.budget_s is not None:
        comparison.renew_rounds = EVERY_ROUNDS
        comparison.save(update_fields=["renew_rounds"])


def begin_with(comparison: Comparison, number: int) -> bool:
    """Return whether a round begins with fresh workers."""
    return number > 1 and generation(comparison, number) != generation(comparison, number - 1)


def generation(comparison: Comparison, number: int) -> int:
    """Return which start of the workers runs a round, from 0."""
    return (number - 1) // comparison.renew_rounds if comparison.renew_rounds else 0


def awaited(comparison: Comparison, batch: Batch, up: Workers) -> list[str]:
    """Return the pools whose workers have not been started again, as the round of this next batch needs."""
    if not begin_with(comparison, batch.round):
        return []
    same_round = comparison.batches.filter(round=batch.round)
    since = comparison.batches.aggregate(at=Max("finished_at"))["at"]
    if since is None or same_round.exclude(released_at=None).exists():
        return []
    if (timezone.now() - since).total_seconds() > _PATIENCE_S:
        return []
    pools = dict.fromkeys(same_round.order_by("position").values_list("pool", flat=True))
    return [pool for pool in pools if not _are_fresh(up.get(pool, ()), since)]


def _are_fresh(workers: Sequence[heartbeats.WorkerHeartbeat], since: datetime) -> bool:
    return bool(workers) and all(worker.started_at > since.timestamp() for worker in workers)


def starts_of(batches: Sequence[Batch]) -> int:
    """Return how many starts of its workers a pool's batches ran on, at least 1."""
    seen = {
        tuple(sorted((worker["name"], worker["pid"]) for worker in batch.probe["release"]["workers"]))
        for batch in batches
        if batch.probe.get("release", {}).get("workers")
    }
    return max(1, len(seen))
