"""Set how many slots a pool's workers have, through Celery's remote control, and restore them afterwards.

A worker's heartbeat confirms its slots. Growing and shrinking are relative, so the next request waits for a heartbeat
newer than the last one. `Comparison.changed_slots` keeps the slots from before, for any coordinator to restore.
"""

import time
from collections.abc import Sequence
from typing import Any

import structlog

from poolwise.lifecycle import broker, heartbeats
from poolwise.models import Batch, Comparison
from poolwise.support import REDIS_ERRORS, BrokerUnavailable, PoolwiseError

log = structlog.get_logger(__name__)
#: A heartbeat this soon after a request may still show the slots from before it.
_ON_ITS_WAY_S = 0.5
_MAX_REQUESTS = 8

type Changed = dict[str, dict[str, Any]]


class SlotsRefused(PoolwiseError):
    """A pool cannot have the slots that the comparison needs."""


def reach(comparison: Comparison, batch: Batch, workers: Sequence[heartbeats.WorkerHeartbeat]) -> bool:
    """Return whether the pool has the batch's slots; request them if not. Raise SlotsRefused."""
    wanted = batch.wanted_slots
    if wanted is None:
        return True
    if wanted < len(workers):
        raise SlotsRefused(
            f"{batch.pool} has {len(workers)} workers with at least 1 slot each: {wanted} cannot be set."
        )
    share, rest = divmod(wanted, len(workers))
    by_name = sorted(workers, key=lambda worker: str(worker.name))
    changed: Changed = comparison.changed_slots or {}
    reached = True
    for number, worker in enumerate(by_name):
        if not _bring(comparison, changed, worker, share + (number < rest)):
            reached = False
    return reached


def _bring(comparison: Comparison, changed: Changed, worker: heartbeats.WorkerHeartbeat, target: int) -> bool:
    """Return whether the worker has `target` slots; request them unless a request is under way."""
    noted = changed.get(worker.name)
    if noted is not None and time.time() - worker.seen_s_ago < noted["asked_at"] + _ON_ITS_WAY_S:
        return False
    if worker.slots == target:
        if noted is not None and noted["requests"]:
            changed[worker.name] = {**noted, "requests": 0}
            _keep(comparison, changed)  # or the requests of earlier batches would count for the next
        return True
    noted = noted or {"slots": worker.slots, "requests": 0}
    if noted["requests"] >= _MAX_REQUESTS:
        raise SlotsRefused(
            f"{worker.name} still has {worker.slots} slots after {_MAX_REQUESTS} requests for {target}."
        )
    changed[worker.name] = {**noted, "asked_at": time.time(), "requests": noted["requests"] + 1}
    _keep(comparison, changed)  # before the request, so that it survives this coordinator
    _ask(worker.name, target - worker.slots)
    return False


def _ask(worker: str, more: int) -> None:
    command = "pool_grow" if more > 0 else "pool_shrink"
    try:
        broker.ask_workers(command, {"n": abs(more)}, only=[worker])
    except (*REDIS_ERRORS, *broker.web_connection().recoverable_connection_errors) as error:
        log.warning("cannot request slots", worker=worker, error=str(error))


def _keep(comparison: Comparison, changed: Changed) -> None:
    comparison.changed_slots = changed or None
    Comparison.objects.filter(pk=comparison.pk).update(changed_slots=comparison.changed_slots)


def restore(comparison: Comparison) -> bool:
    """Return whether every worker has its own slots again; request them where not. Raise BrokerUnavailable."""
    if not comparison.changed_slots:
        return True
    alive = {worker.name: worker for worker in heartbeats.workers()}
    changed: Changed = dict(comparison.changed_slots)
    for name in list(changed):
        if name not in alive or _has_own(comparison, changed, alive[name]):
            del changed[name]
    _keep(comparison, changed)
    return not changed


def _has_own(comparison: Comparison, changed: Changed, worker: heartbeats.WorkerHeartbeat) -> bool:
    try:
        return _bring(comparison, changed, worker, int(changed[worker.name]["slots"]))
    except SlotsRefused as error:
        log.error("cannot restore slots; restart the worker", worker=worker.name, error=str(error))
        return True


def restore_ended() -> bool:
    """Restore the slots that ended comparisons have changed; return whether none is left."""
    over = (Comparison.State.FINISHED, Comparison.State.CANCELLED)
    ended = Comparison.objects.filter(changed_slots__isnull=False, state__in=over)
    try:
        return all([restore(comparison) for comparison in ended])
    except BrokerUnavailable:
        return False
