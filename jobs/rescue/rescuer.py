"""The looks that a coordinator takes every second or so, and what it remembers between them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import structlog
from django.conf import settings

from jobs import heartbeats, recorder, stream
from jobs.heartbeats import Attempt, WorkerBeat
from jobs.models import Job
from jobs.redis_client import Client
from jobs.rescue import queues
from jobs.rescue.absence import Absence
from jobs.rescue.lost import lost
from jobs.rescue.messages import publish_again, published, unaccounted

log = structlog.get_logger(__name__)
_BATCH = 500
#: While reports that old wait to be recorded, the ledger is behind and says nothing about what is missing.
_BACKLOG_S = 2.0


@dataclass(slots=True)
class Rescuer:
    """Tries again what silent workers ran, and publishes again what nobody holds."""

    client: Client
    _runs: Absence[Attempt] = field(default_factory=Absence)
    _messages: Absence[Attempt] = field(default_factory=Absence)
    _looks: int = 0

    def forget(self) -> None:
        """Give every worker the time for a sign of life again, as after an outage of Redis."""
        self._runs.forget()
        self._messages.forget()

    def look(self) -> int:
        """Rescue what is missing; return how many jobs. Raise the errors of Redis, broker and database."""
        beats = heartbeats.read_all(self.client)
        held = heartbeats.held_attempts(self.client)
        heartbeats.forget_silent(self.client, beats)
        if stream.backlog_s(self.client) > _BACKLOG_S:
            self.forget()
            return 0
        self._looks += 1
        return self._rescue_runs(beats, held) + self._rescue_messages(beats, held)

    def _rescue_runs(self, beats: list[WorkerBeat], held: Mapping[str, frozenset[Attempt]]) -> int:
        """Report as lost what runs on workers that are silent, or that do not know of it; return how many jobs."""
        alive = {beat.name for beat in beats if beat.is_alive}
        silent = {beat.name for beat in beats if not beat.is_alive}
        running = Job.objects.running().order_by("started_at").values_list("pk", "attempt", "worker")
        where = {(str(pk), attempt): worker for pk, attempt, worker in running}
        missing = [
            attempt
            for attempt, worker in where.items()
            if worker not in alive or attempt not in held.get(worker, {attempt})
        ]
        long_gone = self._runs.longer_than(settings.JOB_WORKER_DEAD_AFTER_S, missing)
        gone = [attempt for attempt in missing if where[attempt] in silent or attempt in long_gone]
        return self._record_lost(gone[:_BATCH], alive)

    def _record_lost(self, gone: Iterable[Attempt], alive: set[str]) -> int:
        attempts = dict(gone)
        jobs = Job.objects.running().filter(pk__in=attempts)
        outcomes = [lost(job, alive) for job in jobs if job.attempt == attempts[str(job.pk)]]
        if outcomes:
            log.warning("jobs of silent workers are rescued", jobs=len(outcomes))
            recorder.record(outcomes)
        return len(outcomes)

    def _rescue_messages(self, beats: list[WorkerBeat], held: Mapping[str, frozenset[Attempt]]) -> int:
        """Publish again the queued jobs whose message is at no broker and at no living worker; return how many."""
        alive = {beat.name for beat in beats if beat.is_alive}
        living = frozenset[Attempt]().union(*(held[name] for name in alive & held.keys()))
        orphaned = frozenset[Attempt]().union(*(held[name] for name in held.keys() - alive)) - living
        missing: set[Attempt] = set()
        for pool, count in published().items():
            if queues.is_to_be_read(pool, count, living, orphaned, turn=self._looks):
                missing |= unaccounted(pool, living)
        grace_s = 3 * settings.JOB_HEARTBEAT_S + 1.0  # what a worker just fetched is in its next sign of life
        gone = self._messages.longer_than(grace_s, missing) | (missing & orphaned)
        return publish_again(gone)
