"""System checks of what an operator configures; errors apart from warnings, each with its remedy."""

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register
from kombu.transport import resolve_transport

from poolwise import definitions
from poolwise.pools import NEEDED_LIBRARY, NO_POOL, PoolSpec
from poolwise.support.errors import BadPool
from poolwise.support.redis_urls import REDIS_SCHEMES, has_readable_port, scheme_of

#: The tag of Poolwise's checks: `manage.py check --tag poolwise`.
CHECKS = "poolwise"
#: Of those, the ones that `manage.py pool` runs before each worker: they import nothing more.
SETTINGS = "poolwise_settings"


def register_all() -> None:
    """Register Poolwise's checks with Django."""
    register(check_pools, CHECKS)
    register(check_default_pools, CHECKS)
    register(check_definition_pools, CHECKS)
    register(check_numbers, CHECKS, SETTINGS)
    register(check_heartbeats, CHECKS, SETTINGS)
    register(check_addresses, CHECKS, SETTINGS)


def check_pools(app_configs: Sequence[AppConfig] | None = None, **_: Any) -> list[CheckMessage]:
    """Return an error for each pool that cannot work."""
    messages: list[CheckMessage] = []
    pools: list[PoolSpec] = []
    if not isinstance(settings.JOB_POOLS, dict) or not settings.JOB_POOLS:
        summary, hint = NO_POOL.split(": ")
        return [Error(f"{summary}.", hint=hint.capitalize(), id="poolwise.E001")]
    for name, options in settings.JOB_POOLS.items():
        try:
            pools.append(PoolSpec.parse(name, options))
        except BadPool as error:
            messages.append(
                Error(str(error), hint="See JOB_POOLS in the settings page of the docs.", id="poolwise.E002")
            )
    messages += _shared_queues(pools)
    for pool in pools:
        if library := pool.missing_library:
            messages.append(
                Error(
                    f"The pool {pool.name!r} needs the package {library!r}, which is not installed.",
                    hint=f"pip install {NEEDED_LIBRARY[pool.model]}, or take the pool out of JOB_POOLS.",
                    id="poolwise.E004",
                )
            )
    return messages


def _shared_queues(pools: Sequence[PoolSpec]) -> list[CheckMessage]:
    owners: dict[str, str] = {}
    messages: list[CheckMessage] = []
    for pool in pools:
        if pool.queue in owners:
            messages.append(
                Error(
                    f"The pools {owners[pool.queue]!r} and {pool.name!r} share the queue {pool.queue!r}.",
                    hint="Give each pool a queue of its own: a job must run where it was sent.",
                    id="poolwise.E003",
                )
            )
        owners[pool.queue] = pool.name
    return messages


def check_default_pools(app_configs: Sequence[AppConfig] | None = None, **_: Any) -> list[CheckMessage]:
    """Return a warning for each kind whose default pool does not exist."""
    return [
        Warning(
            f"JOB_DEFAULT_POOLS sends {kind} jobs to {pool!r}, which JOB_POOLS does not declare.",
            hint="They run on the first pool declared.",
            id="poolwise.W001",
        )
        for kind, pool in settings.JOB_DEFAULT_POOLS.items()
        if pool not in settings.JOB_POOLS
    ]


def check_definition_pools(app_configs: Sequence[AppConfig] | None = None, **_: Any) -> list[CheckMessage]:
    """Return a warning for each definition that prefers a pool which does not exist in this installation."""
    return [
        Warning(
            f"The definition {found.name} names the pool {found.pool!r}, which JOB_POOLS does not declare.",
            hint="It runs where its kind does; declare the pool, or correct pool= in its @job(...).",
            id="poolwise.W002",
        )
        for found in definitions.all_definitions()
        if found.pool and found.pool not in settings.JOB_POOLS
    ]


#: Settings that are numbers: the least and the most that works.
_LIMITS: dict[str, tuple[float, float]] = {
    "JOB_MAX_COPIES": (1, 1_000_000),
    "JOB_MAX_QUEUED": (1, 100_000_000),
    "JOB_RESULT_MAX_BYTES": (1, 64 * 1024 * 1024),
    "JOB_LOG_MAX_LINES": (0, 100_000),
    "JOB_PUBLISH_BUDGET_S": (0.01, 60),
    "JOB_HEARTBEAT_S": (0.1, 3600),
    "JOB_WORKER_DEAD_AFTER_S": (0.5, 86_400),
    "JOB_SAMPLE_EVERY_S": (0.1, 86_400),
    "JOB_SAMPLE_KEEP_DAYS": (1, 3650),
    "SHUTDOWN_GRACE_S": (0, 86_400),
    "DRAIN_GRACE_S": (0, 86_400),
    "JOB_TIME_LIMIT_S": (0, 31_536_000),
    "JOB_MAX_QUEUED_PER_USER": (1, 100_000_000),
    # DATA_UPLOAD_MAX_MEMORY_SIZE: Django refuses what is larger.
    "API_MAX_BODY_BYTES": (1_000, 2 * 1024 * 1024),
    "JOB_KEEP_DAYS": (1e-6, 36_500),
    "JOB_KEEP_MAX": (1, 1_000_000_000),
    "AUDIT_KEEP_DAYS": (1e-6, 36_500),
    "LOGIN_FAILURE_LIMIT": (1, 1000),
    "LOGIN_COOL_OFF_MIN": (0.1, 525_600),
    "WORKER_PREFETCH_MULTIPLIER": (1, 10_000),
    "PROXY_COUNT": (0, 10),
}


def check_numbers(app_configs: Sequence[AppConfig] | None = None, **_: Any) -> list[CheckMessage]:
    """Return an error for each number that is out of its bounds."""
    return [
        Error(
            f"{name} is {value!r}; it must be a number from {least:.10g} to {most:.10g}.",
            hint="See the settings page of the docs.",
            id="poolwise.E005",
        )
        for name, (least, most) in _LIMITS.items()
        if not _is_within(value := getattr(settings, name), least, most)
    ]


def _is_within(value: Any, least: float, most: float) -> bool:
    # Written so that NaN is refused as well.
    return isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most


def check_heartbeats(app_configs: Sequence[AppConfig] | None = None, **_: Any) -> list[CheckMessage]:
    """Return an error where a worker would be taken for dead between two of its signs of life."""
    every_s, dead_after_s = settings.JOB_HEARTBEAT_S, settings.JOB_WORKER_DEAD_AFTER_S
    if (
        not all(_is_within(value, 0, 86_400) for value in (every_s, dead_after_s))
        or dead_after_s >= 2 * every_s
    ):
        return []
    return [
        Error(
            f"JOB_WORKER_DEAD_AFTER_S is {dead_after_s:g}, less than two signs of life (JOB_HEARTBEAT_S {every_s:g}).",
            hint="Set it to at least twice JOB_HEARTBEAT_S, or living workers lose their jobs.",
            id="poolwise.E006",
        )
    ]


def check_addresses(app_configs: Sequence[AppConfig] | None = None, **_: Any) -> list[CheckMessage]:
    """Return an error for an address of Redis or the broker that nothing here can connect to."""
    messages = _unreadable_addresses()
    if (scheme := scheme_of(settings.REDIS_URL)) not in REDIS_SCHEMES:
        messages.append(
            Error(
                f"REDIS_URL begins with {scheme!r}, which is no address of a Redis.",
                hint="Write redis://host:port/0, rediss:// with TLS, or unix:///path/of/the/socket?db=0.",
                id="poolwise.E009",
            )
        )
        if settings.BROKER_URL == settings.REDIS_URL:  # as it is where nobody set it: one mistake, said once
            return messages
    try:
        resolve_transport(scheme := scheme_of(settings.BROKER_URL))
    except (KeyError, ImportError, AttributeError, ValueError):
        messages.append(
            Error(
                f"BROKER_URL begins with {scheme!r}, for which Celery has no transport here.",
                hint="Write amqp://user:password@host:5672/vhost for RabbitMQ, or unset it to use REDIS_URL.",
                id="poolwise.E010",
            )
        )
    return messages


def _unreadable_addresses() -> list[CheckMessage]:
    return [
        Error(
            f"{name} names a port that is no number from 0 to 65535.",
            hint="Write scheme://user:password@host:port/…, where signs such as / and # of the password are quoted.",
            id="poolwise.E011",
        )
        for name in ("REDIS_URL", "BROKER_URL")
        if not has_readable_port(getattr(settings, name))
        and (name == "REDIS_URL" or settings.BROKER_URL != settings.REDIS_URL)
    ]
