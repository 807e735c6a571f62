"""The looks that a coordinator takes every second or so, and what it remembers between them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import structlog
from django.conf import settings

from poolwise.coordinator.recovery.heartbeat_ages import HeartbeatAges
from poolwise.coordinator.recovery.lost_outcome import lost
from poolwise.coordinator.recovery.messages import pools_of, publish_again, published, unaccounted
from poolwise.coordinator.recovery.missing_since import MissingSince
from poolwise.lifecycle import broker_queues, heartbeats, recorder, stream
from poolwise.models import Job
from poolwise.support import Client

log = structlog.get_logger(__name__)
_BATCH = 500
#: While reports that old wait to be recorded, the ledger is behind and says little about what is missing.
_BACKLOG_S = 2.0
#: With older ones still, queues are read at every so many looks only: reading them holds up the recording.
_FAR_BEHIND_S = 10.0
_SWEEPS_A_READ_BEHIND = 5
#: So much longer than the oldest unrecorded report is old must a message be missing.
_MARGIN_S = 0.5
#: A queue that is as long as it should be is read all the same every so many looks: a message delivered twice
#: can make up for one that is missing.
_SWEEPS_A_READ = 30


@dataclass(slots=True)
class Recovery:
    """Tries again what silent workers ran, and publishes again what nobody holds."""

    client: Client
    _runs: MissingSince[heartbeats.AttemptId] = field(default_factory=MissingSince)
    _messages: dict[str, MissingSince[heartbeats.AttemptId]] = field(default_factory=dict)  # by pool
    _ages: HeartbeatAges = field(default_factory=HeartbeatAges)
    _sweeps: int = 0

    def reset(self) -> None:
        """Give every worker the time for a sign of life again, as after an outage of Redis."""
        self._ages.reset()
        self._runs.reset()
        self._messages.clear()

    def sweep(self, *, is_after_outage: bool = False) -> int:
        """Rescue what is missing; return how many jobs. Raise the errors of Redis, broker and database.

        Shortly after an outage no worker is taken for dead, since none could give a sign of life. What is out of sight
        is noted all the same, and its messages are found, for by then each living worker has named what it holds.
        """
        received = heartbeats.read_all(self.client)
        reserved = heartbeats.reserved_attempts(self.client)
        age_s_by_worker = self._ages.note(received)
        heartbeats.remove_dead(self.client, age_s_by_worker)
        self._sweeps += 1
        dead = {
            name for name, seconds in age_s_by_worker.items() if seconds >= settings.JOB_WORKER_DEAD_AFTER_S
        }
        alive = age_s_by_worker.keys() - dead
        backlog_s = stream.backlog_s(self.client)
        gone = self._lost_runs(alive, dead, reserved, backlog_s)
        if is_after_outage:
            return self._recover_messages(
                alive, {name: reserved[name] for name in alive & reserved.keys()}, backlog_s
            )
        return self._record_lost(gone[:_BATCH], alive) + self._recover_messages(alive, reserved, backlog_s)

    def _lost_runs(
        self,
        alive: set[str],
        dead: set[str],
        reserved: Mapping[str, frozenset[heartbeats.AttemptId]],
        backlog_s: float,
    ) -> list[heartbeats.AttemptId]:
        """Note what runs by the ledger and nowhere else; return what ran on workers long silent, or is long unknown."""
        running = Job.objects.running().order_by("started_at").values_list("pk", "attempt", "worker")
        where = {(str(pk), attempt): worker for pk, attempt, worker in running}
        missing = [
            attempt
            for attempt, worker in where.items()
            if worker not in alive or attempt not in reserved.get(worker, {attempt})
        ]
        if backlog_s > _BACKLOG_S:  # the end of what a living worker does not hold may wait to be recorded
            self._runs.reset()
        missing_long = self._runs.longer_than(settings.JOB_WORKER_DEAD_AFTER_S, missing)
        # What a silent worker reported is older than its silence.
        dead_long = dead if backlog_s < _dead_age_s() else set()
        return [attempt for attempt in missing if where[attempt] in dead_long or attempt in missing_long]

    def _record_lost(self, gone: Iterable[heartbeats.AttemptId], alive: set[str]) -> int:
        attempts = dict(gone)
        if not attempts:  # nearly always; to make a query that finds nothing takes half a millisecond
            return 0
        jobs = Job.objects.running().filter(pk__in=attempts)
        outcomes = [lost(job, alive) for job in jobs if job.attempt == attempts[str(job.pk)]]
        if outcomes:
            log.warning("jobs of silent workers are rescued", jobs=len(outcomes))
            recorder.record(outcomes)
            # The broker may have kept their messages, and hands them on some time.
            stream.expect_duplicates(self.client, [(outcome.job_id, outcome.attempt) for outcome in outcomes])
        return len(outcomes)

    def _recover_messages(
        self, alive: set[str], reserved: Mapping[str, frozenset[heartbeats.AttemptId]], backlog_s: float
    ) -> int:
        """Publish again the queued jobs whose message is at no broker and at no living worker; return how many.

        A job whose end waits to be recorded looks the same. What a worker no longer holds it has reported before, so
        that what is missing for longer than the oldest unrecorded report is old has no report.
        """
        if backlog_s > _FAR_BEHIND_S and self._sweeps % _SWEEPS_A_READ_BEHIND:
            return 0
        unseen_s = max(_unseen_s(), backlog_s + _MARGIN_S)
        living = frozenset[heartbeats.AttemptId]().union(
            *(reserved[name] for name in alive & reserved.keys())
        )
        orphaned = (
            frozenset[heartbeats.AttemptId]().union(*(reserved[name] for name in reserved.keys() - alive))
            - living
        )
        if backlog_s >= _dead_age_s():  # the silent one may have reported them
            orphaned = frozenset()
        orphaned_on = pools_of(orphaned) if orphaned else set()
        gone: set[heartbeats.AttemptId] = set()
        for pool, count in published(living).items():
            missing_since = self._messages.setdefault(pool, MissingSince())
            is_read = self._is_read(pool, count, missing_since, has_orphans=pool in orphaned_on)
            missing = unaccounted(pool, living) if is_read else set()
            gone_here = missing_since.longer_than(unseen_s, missing) | (missing & orphaned)
            missing_since.discard(gone_here)
            gone |= gone_here
        stream.expect_duplicates(self.client, gone)  # out of sight is not gone
        return publish_again(gone)

    def _is_read(
        self, pool: str, count: int, missing_since: MissingSince[heartbeats.AttemptId], *, has_orphans: bool
    ) -> bool:
        """Tell whether a queue is read whole: on suspicion, in its turn, or since it is shorter than it should be."""
        if self._sweeps % _SWEEPS_A_READ == 0 or has_orphans:
            return True
        # Once something is missing, each time: a look in between must not make it forgotten.
        return bool(missing_since.since_mono) or broker_queues.length(pool) < count


def _dead_age_s() -> float:
    """Return how long a worker that is taken for dead has at least been silent, in seconds."""
    return float(settings.JOB_WORKER_DEAD_AFTER_S - settings.JOB_HEARTBEAT_S - 0.5)


def _unseen_s() -> float:
    """Return for how long a message may be out of sight, in seconds: until its worker's sign of life names it."""
    return float(3 * settings.JOB_HEARTBEAT_S + 1.0)
