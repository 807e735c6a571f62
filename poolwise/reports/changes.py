"""When a pool's configuration or versions changed, as the coordinator noted it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

from poolwise.models import PoolConfiguration
from poolwise.pools import all_pools

PoolDetails = dict[str, Any]
#: At most so many rows are read, the newest: a pool that flaps must not slow the dashboard down.
MAX_ROWS = 500


@dataclass(frozen=True, slots=True)
class ConfigurationChange:
    """What changed about a pool within one bucket of time, in words."""

    at: datetime
    pool: str
    text: str


def latest_configurations(before: datetime | None = None) -> dict[str, PoolDetails]:
    """Return what each pool ran with last, or last before a moment, by pool name."""
    rows = PoolConfiguration.objects.filter(**({"at__lt": before} if before else {}))
    found = {}
    for name in all_pools():
        details = rows.filter(pool=name).order_by("-at", "-pk").values_list("details", flat=True).first()
        if details is not None:
            found[name] = details
    return found


def changes(since: datetime, bucket_s: int) -> list[ConfigurationChange]:
    """Return what changed, the oldest first; what was back to its old value within a bucket did not."""
    newest = PoolConfiguration.objects.filter(at__gte=since, pool__in=list(all_pools())).order_by(
        "-at", "-pk"
    )
    rows = sorted(newest[:MAX_ROWS], key=lambda row: (row.pool, row.at, row.pk))
    before = latest_configurations(since)
    found: list[ConfigurationChange] = []
    for pool, own in groupby(rows, key=lambda row: row.pool):
        found += _of_pool(pool, list(own), before.get(pool), bucket_s)
    return sorted(found, key=lambda change: (change.at, change.pool))


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
