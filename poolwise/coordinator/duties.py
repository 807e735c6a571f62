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
from poolwise.support import REDIS_ERRORS, BrokerUnavailable, Client, duty, key, wall_now

log = structlog.get_logger(__name__)


def platform_duties(reader: stream.Reader) -> list[duty.Duty]:
    """Return what a coordinator does that reads the stream as `reader`; several may run, none needs the others."""
    client, stranded = reader.client, UndeclaredPools()
    own_heartbeat, recovery = _Heartbeat(reader), _Recovery(client)
    sample_every_s = settings.JOB_SAMPLE_EVERY_S
    return [
        duty.Duty("heartbeat", settings.JOB_HEARTBEAT_S, own_heartbeat.send, stop=own_heartbeat.leave),
        # First: what is held must be so before anything is published into a Redis that lost its data.
        _pauses(client),
        duty.Duty("publish", 0.25, publishing.publish_due),
        duty.Duty("recovery", 1.0, recovery.run, begin=recovery.begin),
        _cancelling(client),
        duty.Duty("adopt", 2.0, lambda: record_adopted(reader)),
        _alone(reader, "sample", sample_every_s, lambda: stranded.warn(sample(client))),
        _alone(reader, "prune", 3600.0, prune_samples),
        _alone(reader, "retention", 1.0, retention.Turns().take),
        duty.Duty("connections", 30.0, close_old_connections),
    ]


def _pauses(client: Client) -> duty.Duty:
    def write(_: bool = False) -> None:
        pauses.write_copy(client, pauses.paused_now())

    return duty.Duty("pauses", 1.0, write, begin=write)  # Redis may have lost its data


def _cancelling(client: Client) -> duty.Duty:
    return duty.Duty(
        "cancel", 5.0, lambda: cancellation.settle(client), begin=lambda _: cancellation.mark_again(client)
    )


def _alone(reader: stream.Reader, name: str, every_s: float, run: Callable[[], object]) -> duty.Duty:
    """Return a duty that only one of several coordinators does each time."""

    def run_if_first() -> None:
        # A little shorter than the interval, so that the one who had it finds it free again.
        if reader.client.set(key("duty", name), reader.name, nx=True, px=max(1, int(every_s * 900))):
            run()

    return duty.Duty(name, every_s, run_if_first)


class _Heartbeat:
    """The sign of life of a coordinator."""

    def __init__(self, reader: stream.Reader) -> None:
        self._client, self._name = reader.client, reader.name
        self._started_at, self._facts = wall_now(), environment.versions()
        self._stats = process_stats.ProcessStats(os.getpid())

    def send(self) -> None:
        """Send it. Raise redis-py's errors."""
        heartbeat = heartbeats.Heartbeat(
            name=self._name,
            pool=heartbeats.COORDINATOR,
            pid=os.getpid(),
            host=socket.gethostname(),
            memory_bytes=self._stats.memory_bytes(self._stats.process_tree()),
            started_at=self._started_at,
            versions=self._facts,
        )
        heartbeats.send(self._client, heartbeat)

    def leave(self) -> None:
        """Take the coordinator off the list; it stops on purpose."""
        try:
            heartbeats.withdraw(self._client, self._name)
        except REDIS_ERRORS as error:
            log.warning("the sign of life stays until it is too old", error=str(error))


class _Recovery:
    """Looks for what went missing; after an outage each worker first gets the time for a sign of life."""

    def __init__(self, client: Client) -> None:
        self._recovery = Recovery(client)
        self._nobody_dead_until_mono = 0.0

    def begin(self, is_after_outage: bool) -> None:
        """Take no worker for dead before it can have given a sign of life."""
        # At first all there is to go by is Redis' clock, which may just have been set.
        grace_s = settings.JOB_WORKER_DEAD_AFTER_S if is_after_outage else 1.5 * settings.JOB_HEARTBEAT_S
        self._nobody_dead_until_mono = time.monotonic() + grace_s
        if is_after_outage:
            self._recovery.reset()

    def run(self) -> None:
        """Recover what is missing. Raise the errors of Redis and the database."""
        with suppress(BrokerUnavailable):  # publishing says so already
            self._recovery.sweep(is_after_outage=time.monotonic() < self._nobody_dead_until_mono)
