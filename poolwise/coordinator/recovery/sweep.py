"""The sweep: compare the database with heartbeats and broker every second, and recover what is lost."""

import math
import time
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field

import structlog
from django.conf import settings

from poolwise.coordinator.recovery.heartbeat_ages import HeartbeatAges
from poolwise.coordinator.recovery.lost_outcome import lost
from poolwise.coordinator.recovery.messages import pools_of, publish_again, published
from poolwise.coordinator.recovery.missing_since import MissingSince
from poolwise.coordinator.recovery.queue_check import QueueCheck
from poolwise.lifecycle import broker_queues, heartbeats, recorder, stream
from poolwise.models import Job
from poolwise.support import Client

log = structlog.get_logger(__name__)
_BATCH = 500
#: While reports older than this wait to be recorded, the database is behind, and jobs only seem to be missing.
_BACKLOG_S = 2.0
#: Beyond this age queues are read at one sweep in five only: reading them delays the recording.
_FAR_BEHIND_S = 10.0
_SWEEPS_A_READ_BEHIND = 5
#: A message must be missing for this much longer than the age of the oldest unrecorded report.
_MARGIN_S = 0.5
#: Every 30th sweep reads a queue even if its length is right: a duplicate can make up for a missing message.
_SWEEPS_A_READ = 30
#: What waits is not counted again for so many times as long as it took: counting 100,000 jobs takes about 20 ms.
_COUNTS_APART = 20


@dataclass(frozen=True, slots=True)
class _Workers:
    """The workers as one sweep sees them."""

    alive: Set[str]
    dead: Set[str]
    reserved: Mapping[str, frozenset[heartbeats.AttemptId]]
    #: Those not alive whose reports are all recorded: an attempt that has ended must not run again.
    settled: Set[str]
    #: The pools of workers that have just ended: those may have held messages which no heartbeat contained.
    bereft: Set[str]
    #: How many messages may be neither in a queue nor in a heartbeat or the database, though nothing is lost.
    under_way: int

    def held_by(self, names: Set[str]) -> frozenset[heartbeats.AttemptId]:
        """Return the attempts that these workers ran or had reserved at their last heartbeats."""
        held = (self.reserved[name] for name in names & self.reserved.keys())
        return frozenset[heartbeats.AttemptId]().union(*held)


@dataclass(slots=True)
class Recovery:
    """Tries the jobs of dead workers again, and publishes missing messages again."""

    client: Client
    _runs: MissingSince[heartbeats.AttemptId] = field(default_factory=MissingSince)
    _queues: dict[str, QueueCheck] = field(default_factory=dict)  # by pool
    _count_at: int = 0  # the sweep that counts next
    _read_at: int = 0  # the last sweep that began to read all
    _seen: tuple[frozenset[heartbeats.AttemptId], frozenset[heartbeats.AttemptId], float] = (
        frozenset(),
        frozenset(),
        math.inf,
    )
    #: Whether so much is missing that `read_on` should be called before the next sweep.
    is_urgent: bool = False
    _ages: HeartbeatAges = field(default_factory=HeartbeatAges)
    _settled: Set[str] = frozenset()  # workers whose end was seen and that are dealt with
    _sweeps: int = 0

    def reset(self) -> None:
        """Give every worker time for a heartbeat again, as after an outage of Redis."""
        self._ages.reset()
        self._runs.reset()
        self._queues.clear()
        self._count_at = 0

    def sweep(self, *, is_after_outage: bool = False) -> int:
        """Recover lost jobs; return how many. Raise the errors of Redis, broker and database.

        Shortly after an outage no worker counts as dead, since none could send a heartbeat. Missing runs are noted
        nevertheless, and missing messages recovered, since each living worker has reported its attempts by then.
        """
        self._sweeps += 1
        workers, backlog_s = self._workers(is_after_outage=is_after_outage)
        gone = self._lost_runs(workers, backlog_s)
        if is_after_outage:
            return self._recover_messages(workers, backlog_s)
        return self._record_lost(gone[:_BATCH], workers.alive) + self._recover_messages(workers, backlog_s)

    def _workers(self, *, is_after_outage: bool) -> tuple[_Workers, float]:
        """Return the workers, and the age in seconds of the oldest report that was not recorded after they were read."""
        received = heartbeats.read_all(self.client)
        reserved = heartbeats.reserved_attempts(self.client)
        age_s_by_worker = self._ages.note(received)
        heartbeats.remove_dead(self.client, age_s_by_worker)
        # A mark is younger than its worker's reports: when none older than it waits to be recorded, they all are.
        ended = {worker.name: worker.pool for worker in received if worker.has_ended}
        dead = ended.keys() | {
            name for name, seconds in age_s_by_worker.items() if seconds >= settings.JOB_WORKER_DEAD_AFTER_S
        }
        alive = age_s_by_worker.keys() - dead
        backlog_s = stream.backlog_s(self.client)
        settled = {
            name
            for name in (dead | reserved.keys()) - alive
            if not is_after_outage and backlog_s < (age_s_by_worker[name] if name in ended else _dead_age_s())
        }
        just_ended = (ended.keys() & settled) - self._settled
        self._settled = ended.keys() & (self._settled | settled)
        bereft = {ended[name] for name in just_ended}
        slots = sum(worker.slots for worker in received if worker.name in alive)
        under_way = 2 * slots + self.client.xlen(stream.stream_key())
        return _Workers(alive, dead, reserved, settled, bereft, under_way), backlog_s

    def _lost_runs(self, workers: _Workers, backlog_s: float) -> list[heartbeats.AttemptId]:
        """Note jobs that run only by the database; return those of dead workers, and those missing for long."""
        running = Job.objects.running().order_by("started_at").values_list("pk", "attempt", "worker")
        where = {(str(pk), attempt): worker for pk, attempt, worker in running}
        missing = [
            attempt
            for attempt, worker in where.items()
            if worker not in workers.alive or attempt not in workers.reserved.get(worker, {attempt})
        ]
        if backlog_s > _BACKLOG_S:  # the end of a job that its worker no longer has may wait to be recorded
            self._runs.reset()
        missing_long = self._runs.longer_than(settings.JOB_WORKER_DEAD_AFTER_S, missing)
        lost_workers = workers.dead & workers.settled
        return [attempt for attempt in missing if where[attempt] in lost_workers or attempt in missing_long]

    def _record_lost(self, gone: Iterable[heartbeats.AttemptId], alive: Set[str]) -> int:
        attempts = dict(gone)
        if not attempts:  # nearly always; a query takes half a millisecond
            return 0
        jobs = Job.objects.running().filter(pk__in=attempts)
        outcomes = [lost(job, alive) for job in jobs if job.attempt == attempts[str(job.pk)]]
        if outcomes:
            log.warning("recovering the jobs of dead workers", jobs=len(outcomes))
            recorder.record(outcomes)
            # The broker may still deliver their messages.
            stream.expect_duplicates(self.client, [(outcome.job_id, outcome.attempt) for outcome in outcomes])
        return len(outcomes)

    def _recover_messages(self, workers: _Workers, backlog_s: float) -> int:
        """Publish queued jobs again whose message is neither at the broker nor at a living worker; return how many.

        A job whose end waits to be recorded looks the same. A worker reports an attempt before it drops it from its
        heartbeat, so an attempt missing for longer than the age of the oldest unrecorded report has no report. Where a
        worker has just ended, all that is missing counts as its own: it may have received it since its last heartbeat.
        """
        if backlog_s > _FAR_BEHIND_S and self._sweeps % _SWEEPS_A_READ_BEHIND:
            self.is_urgent = False
            return 0
        unseen_s = max(_unseen_s(), backlog_s + _MARGIN_S)
        living = workers.held_by(workers.alive)
        orphaned = workers.held_by(workers.settled) - living
        orphaned_on = workers.bereft | (pools_of(orphaned) if orphaned else set())
        if self._sweeps >= self._count_at or orphaned_on:
            self._begin_to_read(workers, living, orphaned_on)
        self._seen = (living, orphaned, unseen_s)
        return self.read_on()

    def read_on(self) -> int:
        """Read the next slices, and publish again what is gone by the last sweep; return how many."""
        gone = set[heartbeats.AttemptId]().union(*(each.step(*self._seen) for each in self._queues.values()))
        self.is_urgent = self.is_urgent and not all(each.is_idle for each in self._queues.values())
        stream.expect_duplicates(self.client, gone)  # a missing message may still turn up
        return publish_again(gone)

    def _begin_to_read(
        self, workers: _Workers, living: frozenset[heartbeats.AttemptId], orphaned_on: Set[str]
    ) -> None:
        """Count what waits, and begin to read the queues that are shorter than they should be, or whose turn it is."""
        began_s = time.perf_counter()
        counts = published(living)
        self._count_at = self._sweeps + 1 + int(_COUNTS_APART * (time.perf_counter() - began_s))
        for pool in self._queues.keys() - counts.keys():
            del self._queues[pool]
        is_turn = self._sweeps - self._read_at >= _SWEEPS_A_READ
        self._read_at = self._sweeps if is_turn else self._read_at
        self.is_urgent = False
        for pool, count in counts.items():
            check = self._queues.setdefault(pool, QueueCheck(pool))
            lacks = count - broker_queues.length(pool)
            # Under load, some are on their way to a heartbeat, or their start to the database.
            self.is_urgent |= lacks > workers.under_way or pool in orphaned_on
            # While something is missing, again and again.
            if is_turn or lacks > 0 or pool in orphaned_on or check.missing_since.since_mono:
                check.begin(all_count=pool in workers.bereft)


def _dead_age_s() -> float:
    """Return the least time since the last report of a worker that counts as dead for its silence, in seconds."""
    return float(settings.JOB_WORKER_DEAD_AFTER_S - settings.JOB_HEARTBEAT_S - 0.5)


def _unseen_s() -> float:
    """Return how long a message may seem missing, in seconds: until its worker's next heartbeat contains it."""
    return float(3 * settings.JOB_HEARTBEAT_S + 1.0)
