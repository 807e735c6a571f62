"""The known pools: those that the settings declare, and those that jobs still name."""

from django.db import connection

from poolwise.models import Job
from poolwise.pools import all_pools

_LIMIT = 100


def known_pools() -> list[str]:
    """Return the declared pools, then by name the others that jobs name."""
    declared = all_pools()
    return [*declared, *(name for name in _named_by_jobs() if name not in declared)]


def _named_by_jobs() -> list[str]:
    # Skips from name to name in an index; DISTINCT would read the index entries of all jobs for every list.
    table = connection.ops.quote_name(Job._meta.db_table)
    with connection.cursor() as cursor:
        cursor.execute(
            f"WITH RECURSIVE named(pool) AS (SELECT MIN(pool) FROM {table} UNION ALL SELECT "  # noqa: S608 - our table
            f"(SELECT MIN(pool) FROM {table} WHERE pool > named.pool) FROM named WHERE named.pool IS NOT NULL) "
            "SELECT pool FROM named WHERE pool IS NOT NULL LIMIT %s",
            [_LIMIT],
        )
        return [name for (name,) in cursor.fetchall()]
