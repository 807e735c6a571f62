"""What a worker process starts and stops beside its jobs. Importing this module connects the signal handlers."""

import os
from contextlib import suppress
from typing import Any

from celery import signals
from django.db import connections

from poolwise.pools import POOL_ENV, base, faults, forked, get_pool, prefork
from poolwise.support import close_descriptor, kill_descendants, stdout_redaction
from poolwise.worker.heartbeat_thread import HeartbeatThread
from poolwise.worker.pause_watcher import PauseWatcher
from poolwise.worker.report_thread import flush
from poolwise.worker.shutdown import drain, limit_shutdown, shutdown_grace_s
from poolwise.worker.watchdog_supervisor import WatchdogProcess

_heartbeat, _pause_watcher = HeartbeatThread(), PauseWatcher()
_watchdog_process = WatchdogProcess()
#: The consumer of this process, once it is ready.
_ready: list[Any] = []


@signals.worker_init.connect
def _mask_prints(**_: Any) -> None:
    stdout_redaction.mask_prints()  # before the pool forks


@signals.worker_ready.connect
def _on_worker_ready(sender: Any = None, **_: Any) -> None:
    _ready[:] = [sender]
    connections.close_all()  # Django's system checks opened one; from here on only jobs need connections
    if pool := os.environ.get(POOL_ENV):
        forked.at_fork(lambda: _close_broker_connection(sender))
        prefork.look_for_ended_children(sender)
        _start_watchdog(str(sender.hostname))
        _heartbeat.start(sender, pool)
        _pause_watcher.start(sender, pool, get_pool(pool).queue)


def _start_watchdog(name: str) -> None:
    """Start what reports this worker's death, and enforces time limits where jobs share this process and block it."""
    _heartbeat.table = table = _watchdog_process.start(name)
    forked.at_fork(table.detach)
    workers = base.running_pool()
    if workers is not None:

        def replace_worker(job: Any) -> None:
            table.note_end_for_job()
            drain(f"{job.name} could not be stopped and may still run")

        workers.on_given_up = replace_worker
        workers.table = table
        faults.install(table.descriptor)


def _close_broker_connection(consumer: Any) -> None:
    """Close this process' end of the connection to RabbitMQ, without a word to the broker; that to Redis is closed."""
    with suppress(AttributeError, OSError):
        close_descriptor(consumer.connection.connection.sock.fileno())


@signals.worker_shutting_down.connect
def _limit_shutdown(how: str = "", **_: Any) -> None:
    for consumer in _ready:
        consumer.conversation.is_closing = True
    if POOL_ENV in os.environ and how == "Warm":
        limit_shutdown(shutdown_grace_s())


@signals.worker_shutdown.connect
def _on_worker_shutdown(**_: Any) -> None:
    _pause_watcher.stop()
    for consumer in _ready:
        consumer.conversation.flush(timeout_s=2.0)
    flush(timeout_s=2.0)
    if POOL_ENV in os.environ:
        _watchdog_process.stop()
        _heartbeat.stop()
        kill_descendants(spare={_watchdog_process.pid})  # what jobs have left running
