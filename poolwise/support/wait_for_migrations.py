"""Wait for the database's tables, so that a process that needs them may start before `migrate` has ended."""

import time
from collections.abc import Callable

import structlog
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor

log = structlog.get_logger(__name__)
_CHECK_EVERY_S = 0.25


def wait_until_migrated(is_stopped: Callable[[], bool]) -> bool:
    """Return True once every migration is applied, False if stopped before; log what it waits for."""
    logged = ""
    while not is_stopped():
        waits_for = _missing()
        if not waits_for:
            return True
        if waits_for != logged:
            logged = waits_for
            log.info("waiting for the database", waits_for=waits_for)
        time.sleep(_CHECK_EVERY_S)
    return False


def _missing() -> str:
    """Return what is missing before the database can be used, or an empty text."""
    try:
        executor = MigrationExecutor(connection)
        plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except DatabaseError as error:
        connection.close()
        return f"it to answer: {str(error).strip()}"
    return "`manage.py migrate`" if plan else ""
