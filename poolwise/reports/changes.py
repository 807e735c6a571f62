"""When a pool's configuration or versions changed, as the coordinator recorded it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

from poolwise.models import PoolConfiguration
from poolwise.pools import all_pools

PoolDetails = dict[str, Any]
#: The most rows that are read, the newest: a pool that keeps changing must not slow the dashboard down.
MAX_ROWS = 500


@dataclass(frozen=True, slots=True)
class ConfigurationChange:
    """What changed in a pool's configuration within one bucket of time, as text."""

    at: datetime
    pool: str
    text: str


def latest_configurations(before: datetime | None = None) -> dict[str, PoolDetails]:
    """Return the latest configuration of each pool, or the latest before a time, by pool name."""
    rows = PoolConfiguration.objects.filter(**({"at__lt": before} if before else {}))
    configurations = {}
    for name in all_pools():
        details = rows.filter(pool=name).order_by("-at", "-pk").values_list("details", flat=True).first()
        if details is not None:
            configurations[name] = details
    return configurations


def changes(since: datetime, bucket_s: int) -> list[ConfigurationChange]:
    """Return the changes, oldest first; a value that is restored within a bucket has not changed."""
    newest = PoolConfiguration.objects.filter(at__gte=since, pool__in=list(all_pools())).order_by(
        "-at", "-pk"
    )
    rows = sorted(newest[:MAX_ROWS], key=lambda row: (row.pool, row.at, row.pk))
    before = latest_configurations(since)
    all_changes: list[ConfigurationChange] = []
    for pool, own in groupby(rows, key=lambda row: row.pool):
        all_changes += _of_pool(pool, list(own), before.get(pool), bucket_s)
    return sorted(all_changes, key=lambda change: (change.at, change.pool))


def _of_pool(
    pool: str, rows: list[PoolConfiguration], before: PoolDetails | None, bucket_s: int
) -> Iterator[ConfigurationChange]:
    for _, within in groupby(rows, key=lambda row: int(row.at.timestamp()) // bucket_s):
        last = list(within)[-1]
        if before is not None and (text := difference(before, last.details)):
            yield ConfigurationChange(last.at, pool, text)
        before = last.details


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """Return what differs between two configurations: «slots 8 → 16, celery 5.6.0 → 5.7.0»."""
    names = dict.fromkeys([*before, *after])
    pairs = ((name, before.get(name, "–"), after.get(name, "–")) for name in names)
    return ", ".join(f"{name} {old} → {new}" for name, old, new in pairs if old != new)
