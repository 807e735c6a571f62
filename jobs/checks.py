"""System checks of what an operator configures; errors apart from warnings, each with its remedy."""

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register

from jobs import definitions
from jobs.errors import BadPool
from jobs.pools import NEEDED_LIBRARY, PoolSpec

#: Bounds that make no sense at 0 or below.
_POSITIVE = (
    *("JOB_MAX_QUEUED", "JOB_MAX_QUEUED_PER_USER", "JOB_MAX_COPIES", "API_MAX_BODY_BYTES"),
    *("JOB_KEEP_DAYS", "JOB_KEEP_MAX", "AUDIT_KEEP_DAYS"),
)


def register_all() -> None:
    """Register Poolwise's checks with Django."""
    register(check_pools)
    register(check_default_pools)
    register(check_definition_pools)
    register(check_limits)
    register(check_bounds)


def check_limits(app_configs: Sequence[AppConfig] | None = None, **_: Any) -> list[CheckMessage]:
    """Return an error for each time that cannot be one."""
    names = ("JOB_TIME_LIMIT_S", "SHUTDOWN_GRACE_S", "DRAIN_GRACE_S")
    return [
        Error(f"{name} is {getattr(settings, name)}.", hint="Use 0 or more seconds.", id="jobs.E005")
        for name in names
        if not 0 <= getattr(settings, name) < float("inf")  # NaN is refused as well
    ]


def check_pools(app_configs: Sequence[AppConfig] | None = None, **_: Any) -> list[CheckMessage]:
    """Return an error for each pool that cannot work."""
    messages: list[CheckMessage] = []
    pools: list[PoolSpec] = []
    if not isinstance(settings.JOB_POOLS, dict) or not settings.JOB_POOLS:
        return [
            Error("JOB_POOLS declares no pool.", hint="Declare one by name, or unset it.", id="jobs.E001")
        ]
    for name, options in settings.JOB_POOLS.items():
        try:
            pools.append(PoolSpec.parse(name, options))
        except (BadPool, AttributeError, TypeError) as error:
            messages.append(
                Error(str(error), hint="See JOB_POOLS in the settings page of the docs.", id="jobs.E002")
            )
    messages += _shared_queues(pools)
    for pool in pools:
        if library := pool.missing_library:
            messages.append(
                Error(
                    f"The pool {pool.name!r} needs the package {library!r}, which is not installed.",
                    hint=f"pip install {NEEDED_LIBRARY[pool.model]}, or take the pool out of JOB_POOLS.",
                    id="jobs.E004",
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
                    id="jobs.E003",
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
            id="jobs.W001",
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
            id="jobs.W002",
        )
        for found in definitions.all_definitions()
        if found.pool and found.pool not in settings.JOB_POOLS
    ]


def check_bounds(app_configs: Sequence[AppConfig] | None = None, **_: Any) -> list[CheckMessage]:
    """Return an error for each bound that would refuse every job, or delete what has just ended."""
    return [
        Error(
            f"{name} is {getattr(settings, name)}: it must be more than 0.",
            hint="See the settings page of the docs; unset it for the default.",
            id="jobs.E010",
        )
        for name in _POSITIVE
        if not getattr(settings, name) > 0
    ]
