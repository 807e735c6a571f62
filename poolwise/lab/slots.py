"""Set how many slots a pool's workers have, through Celery's remote control, and give them back their own.

A worker's heartbeat confirms what it has. Growing and shrinking are relative, so a worker is asked again only by a
heartbeat younger than the last request. What it had before is kept in `Comparison.changed_slots`, for whoever
coordinates when the comparison is over.
"""

import time
from collections.abc import Sequence
from typing import Any

import structlog

from poolwise.lifecycle import heartbeats, publishing
from poolwise.models import Batch, Comparison
from poolwise.support import REDIS_ERRORS, BrokerUnavailable, PoolwiseError

log = structlog.get_logger(__name__)
#: A heartbeat within it may have been made up before the request arrived.
_ON_ITS_WAY_S = 0.5
_MAX_REQUESTS = 8

type Changed = dict[str, dict[str, Any]]


class SlotsRefused(PoolwiseError):
    """A pool cannot be given the slots that the comparison wants."""


def reach(comparison: Comparison, batch: Batch, workers: Sequence[heartbeats.WorkerHeartbeat]) -> bool:
    """Return whether the pool has the batch's slots; ask its workers if not. Raise SlotsRefused."""
    wanted = batch.wanted_slots
    if wanted is None:
        return True
    if wanted < len(workers):
        raise SlotsRefused(
            f"{batch.pool} has {len(workers)} workers, and none can have less than 1 slot: {wanted} cannot be set."
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
    """Return whether the worker has `target` slots; ask it if it does not and no request is under way."""
    noted = changed.get(worker.name)
    if noted is not None and time.time() - worker.seen_s_ago < noted["asked_at"] + _ON_ITS_WAY_S:
        return False
    if worker.slots == target:
        if noted is not None and noted["requests"]:
            changed[worker.name] = {**noted, "requests": 0}
            _keep(comparison, changed)  # else those for earlier batches would count against the next
        return True
    noted = noted or {"slots": worker.slots, "requests": 0}
    if noted["requests"] >= _MAX_REQUESTS:
        raise SlotsRefused(
            f"{worker.name} was asked {_MAX_REQUESTS} times for {target} slots and has {worker.slots}."
        )
    changed[worker.name] = {**noted, "asked_at": time.time(), "requests": noted["requests"] + 1}
    _keep(comparison, changed)  # before the request: a coordinator that dies in between must find it
    _ask(worker.name, target - worker.slots)
    return False


def _ask(worker: str, more: int) -> None:
    command = "pool_grow" if more > 0 else "pool_shrink"
    try:
        publishing.ask_workers(command, {"n": abs(more)}, only=[worker])
    except (*REDIS_ERRORS, *publishing.web_connection().recoverable_connection_errors) as error:
        log.warning("a worker could not be asked to change its slots", worker=worker, error=str(error))


def _keep(comparison: Comparison, changed: Changed) -> None:
    comparison.changed_slots = changed or None
    Comparison.objects.filter(pk=comparison.pk).update(changed_slots=comparison.changed_slots)


def restore(comparison: Comparison) -> bool:
    """Return whether every worker has its own slots again; ask those that do not. Raise BrokerUnavailable."""
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
        log.error(
            "a worker keeps slots that are not its own: restart it", worker=worker.name, error=str(error)
        )
        return True


def restore_ended() -> bool:
    """Do so for every comparison that was cancelled, or whose coordinator died; return whether nothing is left."""
    over = (Comparison.State.FINISHED, Comparison.State.CANCELLED)
    ended = Comparison.objects.filter(changed_slots__isnull=False, state__in=over)
    try:
        return all([restore(comparison) for comparison in ended])
    except BrokerUnavailable:
        return False
