"""Connections to the broker on which no caller waits for long, and Celery's remote control over them."""

import functools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from celery import current_app
from django.conf import settings
from kombu import pools
from kombu.exceptions import OperationalError as BrokerError

from poolwise.lifecycle.commands import signed_arguments
from poolwise.support import REDIS_ERRORS, BrokerUnavailable

BACKGROUND_TIMEOUT_S = 5.0


@functools.cache
def connection(timeout_s: float) -> Any:
    """Return the connection of this process whose waits each end within `timeout_s`."""
    options = {
        **current_app.conf.broker_transport_options,
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
        "connect_timeout": timeout_s,
        "read_timeout": timeout_s,
        "write_timeout": timeout_s,
        "max_retries": 0,
    }
    made: Any = current_app.connection_for_write(transport_options=options, connect_timeout=timeout_s)
    return made


def web_connection() -> Any:
    """Return the connection of web requests: each wait on it ends within `JOB_PUBLISH_BUDGET_S`."""
    return connection(settings.JOB_PUBLISH_BUDGET_S)


@contextmanager
def background_connection() -> Iterator[Any]:
    """Yield a connection for work outside web requests. Raise BrokerUnavailable within some seconds."""
    background = connection(BACKGROUND_TIMEOUT_S)
    try:
        yield background
    except (*background.recoverable_connection_errors, BrokerError, *REDIS_ERRORS) as error:
        background.close()  # the next caller connects again
        raise BrokerUnavailable(f"The broker does not answer: {error}") from error


def revoke(job_id: str, *, terminate: bool, signal: str) -> None:
    """Ask every worker to drop a job or, with `terminate`, to stop it. Raise as `ask_workers` does."""
    ask_workers("revoke", {"task_id": job_id, "terminate": terminate, "signal": signal})


def ask_workers(command: str, arguments: dict[str, Any], *, only: Sequence[str] | None = None) -> None:
    """Send a signed command of Celery's remote control. Raise the broker's errors within twice a request's budget."""
    arguments = signed_arguments(command, arguments, only)
    web = web_connection()
    producers = pools.producers[web]
    control: Any = current_app.control  # the stubs do not know its mailbox
    mailbox = control.mailbox(web)
    mailbox.producer_pool = producers  # else the app's own connections, which wait for a broker that hangs
    names = None if only is None else list(only)
    try:
        mailbox._broadcast(command, arguments, destination=names)
    except web.recoverable_connection_errors:
        # The connection may be from before a restart of the broker; a new one shows whether it is back.
        producers.force_close_all(close_pool=False)
        web.close()
        mailbox._broadcast(command, arguments, destination=names)
