"""The one process besides web and workers: records outcomes, publishes what is unpublished, rescues what a dead
worker held, releases blocks, samples the pools. Several may run; none of them needs to know of the others."""

import math
import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog
from django.conf import settings
from django.db import DatabaseError, DataError, close_old_connections
from django.utils import timezone

from jobs import (
    cancelling,
    comparisons,
    configurations,
    heartbeats,
    publishing,
    recorder,
    retention,
    stream,
    switches,
)
from jobs.environment import versions
from jobs.errors import BrokerUnavailable
from jobs.evidence import Judge
from jobs.heartbeats import COORDINATOR, Beat, WorkerBeat
from jobs.models import PoolSample
from jobs.pools import all_pools, vitals
from jobs.redis_client import REDIS_ERRORS, Client, key, worker_client
from jobs.reports import Queue, queues
from jobs.rescue import Rescuer, Stranded
from jobs.stream import Entry
from jobs.timing import wall_now

log = structlog.get_logger(__name__)
#: More at once cost hardly less CPU time for each, and a tenth more memory that stays.
_BATCH = 200
#: Reports that come within this time are recorded together: one by one, they cost 17 ms of a core for each job.
_GATHER_S = 0.1
#: So long while a block is measured: what records it takes the same cores.
_GATHER_MEASURED_S = 0.4
_ADVANCE_EVERY_S = 0.25
#: Entries that another coordinator took and did not acknowledge for so long are ours.
_ADOPT_IDLE_MS = 5_000
_PAUSE_AFTER_FAULT_S = 1.0
#: So long at most a coordinator that is told to stop records; what remains waits for the next.
_LAST_REPORTS_S = 3.0
#: What is waited out: Redis or the database is away. A ResponseError is NOGROUP after Redis lost its data.
_FAULTS = (*REDIS_ERRORS, DatabaseError)


@dataclass(slots=True)
class _Duty:
    """Something to do every so often."""

    name: str
    every_s: float
    act: Callable[[], object]
    due_mono: float = 0.0


@dataclass(slots=True)
class Coordinator:
    """Runs its duties in one loop until `stop` is called."""

    client: Client = field(default_factory=worker_client)
    judge: Judge = field(default_factory=Judge)
    _stopping: bool = False
    _fault_silenced: str = ""
    _nobody_dead_until_mono: float = 0.0
    _is_comparing: bool = False
    _advanced_mono: float = 0.0
    _pace: comparisons.Pace | None = None
    _stranded: Stranded = field(default_factory=Stranded)
    _rescuer: Rescuer = field(init=False)
    _gauge: vitals.Gauge = field(init=False)

    def __post_init__(self) -> None:
        self._gauge = vitals.Gauge(os.getpid())
        self._rescuer = Rescuer(self.client)

    @property
    def name(self) -> str:
        """Return the name under which this process reads the stream and shows itself."""
        return f"{COORDINATOR}@{socket.gethostname()}:{os.getpid()}"

    def run(self) -> None:
        """Work until told to stop; a fault of Redis or the database is logged and waited out."""
        reader = stream.Reader(self.client, self.name)
        duties = self._duties(reader)
        # At first all there is to go by is Redis' clock, which may just have been set: who lives gives a sign meanwhile.
        self._nobody_dead_until_mono = time.monotonic() + 1.5 * settings.JOB_HEARTBEAT_S
        ready = False
        while not self._stopping:
            try:
                if not ready:
                    reader.prepare()
                    switches.write(self.client, switches.held())  # Redis may have lost its data
                    cancelling.mark_again(self.client)
                    ready = True
                if self._arrival_s() is not None:
                    self._set_pace()
                recorded = record_new(reader, wait_ms=_wait_ms(duties, self._arrival_s()))
                if recorded or self._arrival_s() is not None:
                    self._advance()
                _do_what_is_due(duties)
                self._fault_silenced = ""
                if 0 < recorded < _BATCH:
                    time.sleep(_gather_s(self._pace))
            except _FAULTS as error:
                ready = False  # the group may be gone with Redis' data: it is made anew
                self._wait_out(error)
        self._record_rest(reader)
        self._leave()

    @property
    def is_stopping(self) -> bool:
        """Tell whether `stop` was called."""
        return self._stopping

    def stop(self) -> None:
        """End the loop after the step at hand."""
        self._stopping = True

    def _advance(self) -> None:
        # Four times a second, mostly for nothing: all that hangs on it asks once, and cheaply.
        self._advanced_mono = time.monotonic()
        self._is_comparing = comparisons.is_wanted()
        if self._is_comparing and comparisons.advance(self.judge):
            self._set_pace()

    def _advance_unless_done(self) -> None:
        # What was recorded a moment ago has had it looked at already.
        if time.monotonic() - self._advanced_mono > _ADVANCE_EVERY_S / 2:
            self._advance()

    def _watch(self) -> None:
        if self._is_comparing:
            comparisons.watch()

    def _set_pace(self) -> None:
        self._pace = comparisons.pace() if self._is_comparing else None

    def _arrival_s(self) -> float | None:
        return self._pace.arrival_s if self._pace else None

    def _duties(self, reader: stream.Reader) -> list[_Duty]:
        started_at = wall_now()
        facts = versions()
        return [
            _Duty(
                "beat",
                settings.JOB_HEARTBEAT_S,
                lambda: heartbeats.send(self.client, self._beat(started_at, facts)),
            ),
            # First: what is held must be so before anything is published into a Redis that lost its data.
            _Duty("switches", 1.0, lambda: switches.write(self.client, switches.held())),
            _Duty("publish", 0.25, publishing.publish_due),
            _Duty("release", _ADVANCE_EVERY_S, self._advance_unless_done),
            _Duty("pace", 1.0, self._set_pace),  # of a block that another coordinator released
            _Duty("watch", 1.0, self._watch),
            _Duty("rescue", 1.0, self._rescue),
            _Duty("cancel", 5.0, lambda: cancelling.settle(self.client)),
            _Duty("adopt", 2.0, lambda: record_adopted(reader)),
            self._alone(
                "sample", settings.JOB_SAMPLE_EVERY_S, lambda: self._stranded.tell(sample(self.client))
            ),
            self._alone("prune", 3600.0, prune_samples),
            self._alone("retention", 1.0, retention.Turns().take),
            _Duty("connections", 30.0, close_old_connections),
        ]

    def _alone(self, name: str, every_s: float, act: Callable[[], object]) -> _Duty:
        """Return a duty that only one of several coordinators does each time."""

        def act_if_first() -> None:
            # A little shorter than the interval, so that the one who had it finds it free again.
            if self.client.set(key("duty", name), self.name, nx=True, px=max(1, int(every_s * 900))):
                act()

        return _Duty(name, every_s, act_if_first)

    def _beat(self, started_at: float, facts: dict[str, str]) -> Beat:
        return Beat(
            name=self.name,
            pool=COORDINATOR,
            pid=os.getpid(),
            host=socket.gethostname(),
            memory_bytes=self._gauge.memory_bytes(self._gauge.family()),
            started_at=started_at,
            versions=facts,
        )

    def _wait_out(self, error: Exception) -> None:
        if str(error) != self._fault_silenced:
            self._fault_silenced = str(error)
            log.error("the coordinator waits", error=str(error), type=type(error).__name__)
        close_old_connections()
        time.sleep(_PAUSE_AFTER_FAULT_S)
        # While Redis was away no worker could give a sign of life: each gets the time for one.
        self._nobody_dead_until_mono = time.monotonic() + settings.JOB_WORKER_DEAD_AFTER_S
        self._rescuer.forget()

    def _rescue(self) -> None:
        with suppress(BrokerUnavailable):  # publishing says so already
            self._rescuer.look(is_after_outage=time.monotonic() < self._nobody_dead_until_mono)

    def _record_rest(self, reader: stream.Reader) -> None:
        """Record what has been reported by now: whoever ends the workers and then this one has no other to do it."""
        until_mono = time.monotonic() + _LAST_REPORTS_S
        try:
            while record_new(reader, wait_ms=0) and time.monotonic() < until_mono:
                pass
        except _FAULTS as error:
            log.warning("reports stay on the stream for the next coordinator", error=str(error))

    def _leave(self) -> None:
        self.judge.stop()
        try:
            heartbeats.withdraw(self.client, self.name)
        except REDIS_ERRORS as error:
            log.warning("the sign of life stays until it is too old", error=str(error))


def _do_what_is_due(duties: list[_Duty]) -> None:
    for duty in duties:
        if time.monotonic() >= duty.due_mono:
            duty.due_mono = time.monotonic() + duty.every_s
            try:
                duty.act()
            except _FAULTS:
                raise
            except Exception:  # one duty's mistake must not end the others
                log.exception("a duty failed", duty=duty.name)


def _gather_s(pace: comparisons.Pace | None) -> float:
    """Return how long to let reports come together: not at all where jobs are to follow those that have ended."""
    if pace is None:
        return _GATHER_S
    return _GATHER_MEASURED_S if pace == comparisons.Pace() else 0.0


def _wait_ms(duties: list[_Duty], arrival_s: float | None) -> int:
    """Return how long to wait for news: until the next duty is due, or the next job of an open loop."""
    wait_s = min(duty.due_mono for duty in duties) - time.monotonic()
    if arrival_s is not None:
        wait_s = min(wait_s, arrival_s)
    return max(0, math.ceil(wait_s * 1000))


def record_new(reader: stream.Reader, *, wait_ms: int = 100) -> int:
    """Record what is new on the stream, waiting a moment for it; return how many entries."""
    return _record(reader, reader.read(count=_BATCH, block_ms=wait_ms))


def record_adopted(reader: stream.Reader) -> int:
    """Record what a reader took and never acknowledged; return how many entries."""
    return _record(reader, reader.adopt(idle_ms=_ADOPT_IDLE_MS, count=_BATCH))


def _record(reader: stream.Reader, raw: list[tuple[str, str]]) -> int:
    if not raw:
        return 0
    entries = []
    for entry_id, text in raw:
        try:
            entries.append(stream.decode(text))
        except ValueError as error:
            log.error("a report cannot be read and is dropped", entry=entry_id, error=str(error))
    try:
        _record_together(entries)
    except Exception as error:
        if _is_passing(error):
            raise
        for entry in entries:
            _record_or_drop(entry)
    reader.acknowledge([entry_id for entry_id, _ in raw])
    return len(raw)


def _record_together(entries: list[Entry]) -> None:
    recorded = recorder.record(entries)
    if recorded.stale or recorded.unknown:
        log.info("reports dropped", **recorded.counts())
    if recorded.unwanted:
        cancelling.stop_unwanted(worker_client(), recorded.unwanted)


def _record_or_drop(entry: Entry) -> None:
    try:
        _record_together([entry])
    except Exception as error:
        if _is_passing(error):
            raise
        log.exception("a report cannot be recorded and is dropped", job=entry.job_id, error=str(error))


def _is_passing(error: Exception) -> bool:
    """Tell whether Redis or the database is away; else it is the values of one report, or a mistake of ours."""
    return isinstance(error, _FAULTS) and not isinstance(error, DataError)


def sample(client: Client) -> dict[str, Queue]:
    """Store what each pool looks like now; return the queues, also those of pools that are not declared."""
    alive = [beat for beat in heartbeats.read_all(client) if beat.is_alive]
    found, now = queues(), timezone.now()
    PoolSample.objects.bulk_create(
        _sample_of(name, found.get(name, Queue()), alive, now) for name in all_pools()
    )
    configurations.note(alive, now)
    return found


def _sample_of(name: str, queue: Queue, alive: list[WorkerBeat], now: datetime) -> PoolSample:
    workers = [beat for beat in alive if beat.pool == name]
    return PoolSample(
        pool=name,
        at=now,
        queued=queue.queued,
        running=queue.running,
        oldest_s=queue.oldest_s(now) or 0.0,
        workers=len(workers),
        slots=sum(beat.slots for beat in workers),
        memory_bytes=sum(beat.memory_bytes for beat in workers),
    )


def prune_samples() -> None:
    """Delete samples and configurations that are older than the settings keep."""
    keep_from = timezone.now() - timedelta(days=settings.JOB_SAMPLE_KEEP_DAYS)
    PoolSample.objects.filter(at__lt=keep_from).delete()
    configurations.prune(keep_from)
