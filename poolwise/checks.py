"""System checks of what an operator configures; errors apart from warnings, each with its remedy."""

from collections.abc import Sequence
from typing import Any

import structlog
from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register

from poolwise import definitions
from poolwise.pools import NEEDED_LIBRARY, NO_POOL, PoolSpec
from poolwise.support import BadPool, settings_checks

log = structlog.get_logger(__name__)
_STYLES = "poolwise/poolwise.css"
#: The tag of Poolwise's checks: `manage.py check --tag poolwise`.
CHECKS = "poolwise"


def register_all() -> None:
    """Register Poolwise's checks with Django."""
    register(check_static_files, Tags.staticfiles, deploy=True)
    register(check_pools, CHECKS)
    register(check_default_pools, CHECKS)
    register(check_definition_pools, CHECKS)
    register(settings_checks.check_numbers, CHECKS)
    register(settings_checks.check_heartbeats, CHECKS)
    register(settings_checks.check_addresses, CHECKS)


def are_static_files_missing() -> bool:
    """Return whether the pages need collected static files and there are none."""
    from django.contrib.staticfiles.storage import staticfiles_storage  # no worker needs it

    collected = getattr(staticfiles_storage, "hashed_files", None)  # None: files are served where they are
    return collected is not None and _STYLES not in collected


def warn_of_missing_static_files() -> None:
    """Log it at the start of a web server, whose every page would fail."""
    if are_static_files_missing():
        log.error("no page can be shown: run manage.py collectstatic", missing_in=str(settings.STATIC_ROOT))


def check_static_files(app_configs: Sequence[AppConfig] | None = None, **_: Any) -> list[CheckMessage]:
    """Return an error where the pages need collected static files and there are none."""
    if not are_static_files_missing():
        return []
    summary = f"The static files are not collected in {settings.STATIC_ROOT}."
    return [Error(summary, hint="Run manage.py collectstatic.", id="poolwise.E012")]


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
            f"The definition {definition.name} names the pool {definition.pool!r}, which JOB_POOLS does not declare.",
            hint="It runs where its kind does; declare the pool, or correct pool= in its @job(...).",
            id="poolwise.W002",
        )
        for definition in definitions.all_definitions()
        if definition.pool and definition.pool not in settings.JOB_POOLS
    ]
