"""The duties of the platform itself, in the order in which the coordinator runs them."""

import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress

import structlog
from django.conf import settings
from django.db import close_old_connections

from poolwise.coordinator import retention
from poolwise.coordinator.pool_samples import prune_samples, sample
from poolwise.coordinator.recording import record_adopted
from poolwise.coordinator.recovery import Recovery, UndeclaredPools
from poolwise.lifecycle import cancellation, environment, heartbeats, pauses, publishing, stream
from poolwise.metering import process_stats
from poolwise.support import REDIS_ERRORS, BrokerUnavailable, Client, drop, dropped, duty, key, wall_now

log = structlog.get_logger(__name__)
_SWEEP_EVERY_S, _READ_ON_EVERY_S = 1.0, 0.1


def platform_duties(reader: stream.Reader) -> list[duty.Duty]:
    """Return the duties of a coordinator with this reader. Several coordinators may run, independently."""
    client, undeclared = reader.client, UndeclaredPools()
    own_heartbeat, recovery = _Heartbeat(reader), _Recovery(client)
    sample_every_s = settings.JOB_SAMPLE_EVERY_S
    return [
        duty.Duty("heartbeat", settings.JOB_HEARTBEAT_S, own_heartbeat.send, stop=own_heartbeat.leave),
        # First: after Redis lost its data, pauses must be there before anything is published.
        _pauses(client),
        duty.Duty("publish", 0.25, publishing.publish_due),
        duty.Duty("recovery", _SWEEP_EVERY_S, recovery.run, begin=recovery.begin),
        _cancelling(client),
        _alone(reader, "sample", sample_every_s, lambda: undeclared.warn(sample(client))),
        _alone(reader, "prune", 3600.0, prune_samples),
        _alone(reader, "retention", 1.0, retention.Turns().take),
        duty.Duty("connections", 30.0, close_old_connections),
    ]


def recording_duties(reader: stream.Reader) -> list[duty.Duty]:
    """Return the duties of the loop that records."""
    return [
        duty.Duty("adopt", 2.0, lambda: record_adopted(reader)),
        duty.Duty("connections", 30.0, close_old_connections),
    ]


def _pauses(client: Client) -> duty.Duty:
    def write(_: bool = False) -> None:
        pauses.copy_database(client)

    return duty.Duty("pauses", 1.0, write, begin=write)  # Redis may have lost its data


def _cancelling(client: Client) -> duty.Duty:
    return duty.Duty(
        "cancel", 5.0, lambda: cancellation.settle(client), begin=lambda _: cancellation.mark_again(client)
    )


def _alone(reader: stream.Reader, name: str, every_s: float, run: Callable[[], object]) -> duty.Duty:
    """Return a duty that one of several coordinators runs each time."""

    def run_if_first() -> None:
        # A little shorter than the interval, so that the lock has expired by the next time.
        lock, held_ms = key("duty", name), max(1, int(every_s * 900))
        if reader.client.set(lock, reader.name, nx=True, px=held_ms):
            run()
        elif (left_ms := reader.client.pttl(lock)) == -1 or left_ms > held_ms:
            drop("lock of a duty", "it is not ours: it expires too late, or never", lock)
            reader.client.delete(lock)

    return duty.Duty(name, every_s, run_if_first)


class _Heartbeat:
    """The heartbeat of a coordinator."""

    def __init__(self, reader: stream.Reader) -> None:
        self._client, self._name = reader.client, reader.name
        self._started_at, self._versions = wall_now(), environment.versions()
        self._stats = process_stats.ProcessStats(os.getpid())

    def send(self) -> None:
        """Send a heartbeat. Raise redis-py's errors."""
        heartbeat = heartbeats.Heartbeat(
            name=self._name,
            pool=heartbeats.COORDINATOR,
            pid=os.getpid(),
            host=socket.gethostname(),
            memory_bytes=self._stats.memory_bytes(self._stats.process_tree()),
            refused=dropped.total(),
            started_at=self._started_at,
            versions=self._versions,
        )
        heartbeats.send(self._client, heartbeat)

    def leave(self) -> None:
        """Remove the heartbeat: the coordinator stops on purpose."""
        try:
            heartbeats.withdraw(self._client, self._name)
        except REDIS_ERRORS as error:
            log.warning("cannot remove the heartbeat; it expires by age", error=str(error))


class _Recovery:
    """Recovers lost jobs; after an outage each worker first gets time for a heartbeat."""

    def __init__(self, client: Client) -> None:
        self._recovery = Recovery(client)
        self._grace_until_mono = self._sweep_mono = 0.0

    def begin(self, is_after_outage: bool) -> None:
        """Count no worker as dead before it can have sent a heartbeat."""
        # At first only Redis' clock gives the age of a heartbeat, and it may just have been set.
        grace_s = settings.JOB_WORKER_DEAD_AFTER_S if is_after_outage else 1.5 * settings.JOB_HEARTBEAT_S
        self._grace_until_mono = time.monotonic() + grace_s
        if is_after_outage:
            self._recovery.reset()

    def run(self) -> duty.Pacing:
        """Sweep, or read on while much is missing. Raise the errors of Redis and the database."""
        now = time.monotonic()
        with suppress(BrokerUnavailable):  # publishing logs it already
            if now >= self._sweep_mono:
                self._sweep_mono = now + 0.9 * _SWEEP_EVERY_S
                self._recovery.sweep(is_after_outage=now < self._grace_until_mono)
            else:
                self._recovery.read_on()
        return duty.Pacing(_READ_ON_EVERY_S if self._recovery.is_urgent else None)
