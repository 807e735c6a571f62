"""What would disturb a comparison that starts now: another comparison, jobs, pauses, full queues, a busy machine."""

import time
from collections.abc import Iterator, Mapping, Sequence

import psutil
from django.db.models import Count, Q, Value
from django.db.models.functions import Coalesce
from django.utils import timezone

from poolwise.lab.probes import machine_cpu_s
from poolwise.lab.run import LIVE
from poolwise.lifecycle import back_pressure, environment, heartbeats, pauses
from poolwise.models import Comparison, Job, JobState, waiting
from poolwise.pools import all_pools
from poolwise.support import BrokerUnavailable, cores

#: A machine is busy if more than this many cores, or this share of its cores, compute. An idle platform takes less.
_BUSY_CORES, _BUSY_SHARE = 0.5, 0.1


def disturbances(pools: Sequence[str], *, cpu_over_s: float = 0.0) -> list[str]:
    """Return what runs or waits now on the pools and on the machine, as sentences; nothing if all is idle.

    With `cpu_over_s` it also measures for so many seconds how busy this machine is, if workers of the pools run on it.
    """
    busy = _busy_machine(cpu_over_s) if cpu_over_s and _run_here(pools) else ""
    return [*_comparisons(), *_jobs(pools), *_pauses(pools), *_full_queues(pools), *filter(None, [busy])]


def _comparisons() -> Iterator[str]:
    live = Comparison.objects.filter(state__in=LIVE).order_by().count()
    if live == 1:
        yield "Another comparison is running or planned; this one starts when it has ended."
    elif live:
        yield f"{live:,} other comparisons are running or planned; this one starts when they have ended."


def _jobs(pools: Sequence[str]) -> Iterator[str]:
    """Yield which jobs run or wait, but for those of a live comparison, which end before another starts."""
    live = Job.objects.live().exclude(batch__comparison__state__in=LIVE).order_by()
    # An expression: SQLite with statistics would group by the index of pools and read every job.
    by_name = live.values(name=Coalesce("pool", Value("")))
    running_now = Count("pk", filter=Q(state=JobState.RUNNING))
    counted = by_name.annotate(running=running_now, queued=waiting(timezone.now())["queued"])
    by_pool: Mapping[str, tuple[int, int]] = {
        pool: (running, queued) for pool, running, queued in counted.values_list("name", "running", "queued")
    }
    for pool in pools:
        running, queued = by_pool.get(pool, (0, 0))
        if running or queued:
            parts = [f"{_are(running)} running"] * bool(running) + [f"{_are(queued)} queued"] * bool(queued)
            yield f"On {pool} {' and '.join(parts)}."
    # What is queued elsewhere and does not run waits for a worker or for an operator.
    others = {pool: by_pool[pool][0] for pool in all_pools() if pool in by_pool and pool not in pools}
    if running := sum(others.values()):
        names = ", ".join(pool for pool, number in others.items() if number)
        yield f"{_are(running)} running on pools that are not compared ({names})."


def _are(jobs: int) -> str:
    return f"{jobs:,} job is" if jobs == 1 else f"{jobs:,} jobs are"


def _pauses(pools: Sequence[str]) -> Iterator[str]:
    paused = pauses.paused_now().pools
    for pool in pools:
        if state := paused.get(pool):
            yield f"The pool {pool} is {state}: the comparison waits until somebody resumes it."


def _full_queues(pools: Sequence[str]) -> Iterator[str]:
    for pool in pools:
        if not back_pressure.room(pool):
            yield f"The queue of {pool} is full: the comparison waits until jobs end."


def _run_here(pools: Sequence[str]) -> bool:
    """Return whether workers of the pools run on this machine; also if that is not known."""
    try:
        up = heartbeats.pools_up()
    except BrokerUnavailable:
        return True
    machines = {worker.machine for pool in pools for worker in up.get(pool, [])}
    return not machines or environment.machine() in machines


def _busy_machine(over_s: float) -> str:
    before_s, began_mono = machine_cpu_s(), time.monotonic()
    time.sleep(over_s)
    busy = (machine_cpu_s() - before_s) / (time.monotonic() - began_mono)
    total = psutil.cpu_count() or cores()
    if busy <= max(_BUSY_CORES, _BUSY_SHARE * total):
        return ""
    return f"{busy:.1f} of the {total} cores of this machine are busy."
