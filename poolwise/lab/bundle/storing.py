"""Store a bundle as a comparison with its report; the batches keep the samples, without rows of `Job`."""

from collections.abc import Mapping
from datetime import datetime
from itertools import groupby
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.utils import timezone

from poolwise.lab.bundle.reading import Bundle
from poolwise.lab.report import IMPORTED_SAMPLES, SAMPLE_COLUMNS
from poolwise.models import Batch, Comparison
from poolwise.support import BadBundle

if TYPE_CHECKING:
    from django.contrib.auth.models import User

_POOL, _ROUND, _ROLE, _SLOTS = (SAMPLE_COLUMNS.index(name) for name in ("pool", "round", "role", "slots"))
_PUBLISHED, _FINISHED = (SAMPLE_COLUMNS.index(name) for name in ("published_at", "finished_at"))


def store(bundle: Bundle, *, user: "User | None" = None) -> Comparison:
    """Store a bundle as a finished comparison, marked as imported. Raise BadBundle."""
    planned = bundle.manifest.comparison.model_dump(exclude={"pools"})
    pools = {variant.name: variant.pool for variant in bundle.report.pools}
    with transaction.atomic():
        comparison = Comparison.objects.create(
            **planned,
            environment=bundle.report.environment,
            report=bundle.report.model_dump(mode="json"),
            state=Comparison.State.FINISHED,
            created_at=_stamp(bundle.manifest.created_at),
            finished_at=max(filter(None, (_at(row[_FINISHED]) for row in bundle.samples)), default=None),
            imported_at=timezone.now(),
            user=user,
        )
        Batch.objects.bulk_create(_batches(comparison, bundle.samples, pools), batch_size=50)
    return comparison


def _stamp(text: str) -> datetime:
    try:
        stamp = datetime.fromisoformat(text)
    except ValueError as error:
        raise BadBundle(f"manifest.json: created_at {text!r} is not a date and time.") from error
    if stamp.tzinfo is None:
        raise BadBundle("manifest.json: created_at has no time zone.")
    return stamp


def _at(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _key(row: list[Any]) -> tuple[Any, ...]:
    return row[_POOL], row[_ROLE], row[_ROUND], row[_SLOTS]


def _batches(comparison: Comparison, samples: list[list[Any]], pools: Mapping[str, str]) -> list[Batch]:
    groups = [(key, list(rows)) for key, rows in groupby(sorted(samples, key=_key), key=_key)]
    groups.sort(key=lambda group: min((row[_PUBLISHED] or "9" for row in group[1]), default="9"))
    return [
        Batch(
            comparison=comparison,
            pool=pools.get(variant, variant)[:100],
            label=variant if comparison.vary else "",
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
        for position, ((variant, role, round_, slots), rows) in enumerate(groups, start=1)
    ]
