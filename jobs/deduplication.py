"""Submissions that stand for the same: by a key that the caller chose, or by a definition that wants one job at a time."""

import hashlib
import json
from collections.abc import Iterable, Sequence

from django.db.models import Q

from jobs.errors import InvalidParameters
from jobs.models import LIVE, Job

MAX_KEY_CHARS = 250


def mark(jobs: Sequence[Job], *, key: str) -> None:
    """Give each job of a submission its idempotency key: the caller's own, since users do not share keys.

    Raise InvalidParameters for a key that is too long or cannot be printed.
    """
    if len(key) > MAX_KEY_CHARS or not key.isprintable():
        raise InvalidParameters(
            {
                "idempotency_key": f"Use 1 to {MAX_KEY_CHARS} printable characters, the same ones when you try again."
            }
        )
    for number, job in enumerate(jobs):
        job.idempotency_key = f"{job.user_id or '-'}:{number}:{key}"


def unique_key(definition: str, params: object) -> str:
    """Return what jobs of a unique definition with the same parameters share."""
    text = json.dumps([definition, params], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def earlier(jobs: Sequence[Job]) -> list[Job]:
    """Return the stored jobs that these stand for, in their order; nothing if they are new.

    Raise InvalidParameters where the key belongs to another submission.
    """
    first = jobs[0]
    if first.idempotency_key:
        return _by_idempotency_key(jobs)
    if first.unique_key:
        return _noted(Job.objects.filter(unique_key=first.unique_key, state__in=LIVE)[:1])
    return []


def _by_idempotency_key(jobs: Sequence[Job]) -> list[Job]:
    keys = [job.idempotency_key for job in jobs]
    stored = {job.idempotency_key: job for job in Job.objects.filter(idempotency_key__in=keys)}
    if not stored:
        unique = Q(unique_key=jobs[0].unique_key, state__in=LIVE)
        return _noted(Job.objects.filter(unique)[:1]) if jobs[0].unique_key else []
    wanted = (jobs[0].definition, jobs[0].params)
    if len(stored) != len(jobs) or any((job.definition, job.params) != wanted for job in stored.values()):
        raise InvalidParameters(
            {
                "idempotency_key": "It belongs to another submission, with other parameters or copies; choose a new one."
            }
        )
    return _noted([stored[key] for key in keys])


def _noted(jobs: Iterable[Job]) -> list[Job]:
    found = list(jobs)
    for job in found:
        job.was_there = True
    return found
