"""Measurements of a batch's workers and of the machine, kept in `Batch.probe`.

| key | value |
| --- | --- |
| `yardstick_s` | the time of a fixed piece of work just before the release, see `yardstick` |
| `release` | `{"at", "machine_cpu_s", "redis_run_id", "workers": [heartbeats]}` |
| `end` | the same, with heartbeats sent after the last job |
| `busy` | `{"at", "machine_cpu_s"}` when the last job was recorded |
| `watched` | the largest `memory_bytes`, `db_connections` and `loop_lag_s` in between |
| `others` | what other jobs took meanwhile: `slot_s` of this pool, `cpu_s` in all |
| `late_s` | by how much the latest job was published late |
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

import psutil
from django.conf import settings
from django.utils import timezone

from poolwise.lifecycle import heartbeats
from poolwise.models import Batch, Comparison, Job
from poolwise.pools import all_pools
from poolwise.support import REDIS_ERRORS, wall_now, web_client

_IDLE = ("idle", "iowait", "guest", "guest_nice")  # user time includes the guests' time
_WATCHED = ("memory_bytes", "db_connections", "loop_lag_s")


def machine_cpu_s() -> float:
    """Return the CPU seconds that all cores of the coordinator's machine have been busy since it started."""
    times = psutil.cpu_times()._asdict()
    return round(float(sum(value for name, value in times.items() if name not in _IDLE)), 2)


def redis_run_id() -> str | None:
    """Return the id of this run of the Redis server, new at each start; None where Redis does not return one."""
    try:
        return str(web_client().info("server")["run_id"])
    except (*REDIS_ERRORS, KeyError):
        return None


def moment(workers: Sequence[heartbeats.WorkerHeartbeat]) -> dict[str, Any]:
    """Return the heartbeats of the pool's workers and the machine's CPU time, now."""
    return {
        "at": wall_now(),
        "machine_cpu_s": machine_cpu_s(),
        "redis_run_id": redis_run_id(),
        "workers": [asdict(worker.heartbeat) for worker in workers],
    }


def at_busy_end() -> dict[str, Any]:
    """Return what must be read at the very end of a batch, before the workers' next heartbeats."""
    return {"at": wall_now(), "machine_cpu_s": machine_cpu_s()}


def watched(probe: Mapping[str, Any], workers: Sequence[heartbeats.WorkerHeartbeat]) -> dict[str, float]:
    """Return the largest figures of a batch so far."""
    before = probe.get("watched", {})
    now = {
        "memory_bytes": sum(worker.memory_bytes for worker in workers),
        "db_connections": sum(getattr(worker.heartbeat, "db_connections", None) or 0 for worker in workers),
        "loop_lag_s": max((worker.loop_lag_s for worker in workers), default=0.0),
    }
    return {name: max(before.get(name, 0), now[name]) for name in _WATCHED}


def others(batch: Batch, start: datetime, end: datetime) -> dict[str, float]:
    """Return what jobs outside the batch took between start and end: slot seconds of its pool, CPU seconds in all."""
    jobs = Job.objects.exclude(batch=batch).filter(started_at__lte=end, pool__in=list(all_pools())).order_by()
    slot_s = cpu_s = 0.0
    for part in (jobs.filter(finished_at__gte=start), jobs.running()):
        rows: Iterable[Any] = part.values_list("pool", "started_at", "finished_at", "cpu_s")
        for pool, begun, ended, used_s in rows:
            overlap_s = (min(ended or end, end) - max(begun, start)).total_seconds()
            slot_s += max(0.0, overlap_s) * (pool == batch.pool)
            # Of a job that still runs, the CPU time is not known; a waiting one must not count.
            whole_s = ((ended or end) - begun).total_seconds()
            cpu_s += (used_s or 0.0) * max(0.0, overlap_s) / whole_s if whole_s > 0 else 0.0
    return {"slot_s": round(slot_s, 4), "cpu_s": round(cpu_s, 4)}


def open_probes(comparison: Comparison) -> list[Batch]:
    """Return the batches that have ended and have no heartbeats from after their end."""
    return list(
        comparison.batches.filter(finished_at__isnull=False)
        .exclude(released_at=None)
        .exclude(probe__has_key="end")
    )


def close(batches: Sequence[Batch], up: Mapping[str, Sequence[heartbeats.WorkerHeartbeat]]) -> list[Batch]:
    """Store the heartbeats of ended batches, once every worker has sent one since; return the batches still open."""
    still_open = []
    for batch in batches:
        workers = up.get(batch.pool, [])
        if _have_heartbeats_since(batch, workers):
            batch.probe["end"] = moment(workers)
            Batch.objects.filter(pk=batch.pk).update(probe=batch.probe)
        else:
            still_open.append(batch)
    return still_open


def _have_heartbeats_since(batch: Batch, workers: Sequence[heartbeats.WorkerHeartbeat]) -> bool:
    since_s = (timezone.now() - (batch.finished_at or timezone.now())).total_seconds()
    return since_s > settings.JOB_WORKER_DEAD_AFTER_S or all(
        worker.seen_s_ago < since_s for worker in workers
    )
