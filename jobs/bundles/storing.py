"""Keep a bundle as a comparison: its figures as evidence, its jobs with blocks, and no row of `Job`."""

from collections.abc import Mapping
from datetime import datetime
from itertools import groupby
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.utils import timezone

from jobs.bundles.reading import Bundle
from jobs.errors import BadBundle
from jobs.evidence import IMPORTED_SAMPLES, SAMPLE_COLUMNS
from jobs.models import Block, Comparison

if TYPE_CHECKING:
    from django.contrib.auth.models import User

_POOL, _ROUND, _ROLE, _SLOTS = (SAMPLE_COLUMNS.index(name) for name in ("pool", "round", "role", "slots"))
_PUBLISHED, _FINISHED = (SAMPLE_COLUMNS.index(name) for name in ("published_at", "finished_at"))


def store(bundle: Bundle, *, user: "User | None" = None) -> Comparison:
    """Store a bundle as a finished comparison that is marked as imported. Raise BadBundle."""
    asked = bundle.manifest.comparison.model_dump(exclude={"pools"})
    pools = {arm.name: arm.pool for arm in bundle.evidence.pools}
    with transaction.atomic():
        comparison = Comparison.objects.create(
            **asked,
            environment=bundle.evidence.environment,
            evidence=bundle.evidence.model_dump(mode="json"),
            state=Comparison.State.FINISHED,
            created_at=_stamp(bundle.manifest.created_at),
            finished_at=max(filter(None, (_at(row[_FINISHED]) for row in bundle.samples)), default=None),
            imported_at=timezone.now(),
            user=user,
        )
        Block.objects.bulk_create(_blocks(comparison, bundle.samples, pools), batch_size=50)
    return comparison


def _stamp(text: str) -> datetime:
    try:
        stamp = datetime.fromisoformat(text)
    except ValueError as error:
        raise BadBundle(f"manifest.json: created_at is no moment: {text!r}.") from error
    if stamp.tzinfo is None:
        raise BadBundle("manifest.json: created_at has no time zone.")
    return stamp


def _at(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _key(row: list[Any]) -> tuple[Any, ...]:
    return row[_POOL], row[_ROLE], row[_ROUND], row[_SLOTS]


def _blocks(comparison: Comparison, samples: list[list[Any]], pools: Mapping[str, str]) -> list[Block]:
    groups = [(key, list(rows)) for key, rows in groupby(sorted(samples, key=_key), key=_key)]
    groups.sort(key=lambda group: min((row[_PUBLISHED] or "9" for row in group[1]), default="9"))
    return [
        Block(
            comparison=comparison,
            pool=pools.get(arm, arm)[:100],
            label=arm if comparison.vary else "",
            role=role,
            round=round_,
            slots=slots,
            position=position,
            released_at=min(
                filter(None, (_at(row[_PUBLISHED]) for row in rows)), default=comparison.created_at
            ),
            finished_at=max(
                filter(None, (_at(row[_FINISHED]) for row in rows)), default=comparison.created_at
            ),
            probe={IMPORTED_SAMPLES: rows},
        )
        for position, ((arm, role, round_, slots), rows) in enumerate(groups, start=1)
    ]
