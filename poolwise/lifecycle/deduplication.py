"""Submissions that stand for the same: by a key that the caller chose, or by a definition that wants one job at a time."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from poolwise import definitions
from poolwise.definitions import Definition, is_hidden
from poolwise.models import LIVE, Job
from poolwise.support import InvalidParameters, UnderWay, signing

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


def unique_keys(definition: Definition, params: Mapping[str, Any]) -> list[str]:
    """Return what jobs of a unique definition with the same parameters share: as stored now, then under earlier keys."""
    fields = [definition.name, definition.in_clear(params)]
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"))
    if any(is_hidden(params.get(name)) for name in definition.secret_names):
        # A plain digest would let secrets be tried out.
        return list(signing.signatures(signing.UNIQUE, text))
    return [hashlib.sha256(text.encode()).hexdigest()]


def earlier(jobs: Sequence[Job]) -> list[Job]:
    """Return the stored jobs that these stand for, in their order; nothing if they are new.

    Raise InvalidParameters where the key belongs to another submission, UnderWay for a job that the user may not see.
    """
    first = jobs[0]
    if first.idempotency_key:
        return _by_idempotency_key(jobs)
    if first.unique_key:
        return _under_way(first)
    return []


def _by_idempotency_key(jobs: Sequence[Job]) -> list[Job]:
    keys = [job.idempotency_key for job in jobs]
    stored = {job.idempotency_key: job for job in Job.objects.filter(idempotency_key__in=keys)}
    if not stored:
        return _under_way(jobs[0]) if jobs[0].unique_key else []
    if len(stored) != len(jobs) or not all(_ask_the_same(job, jobs[0]) for job in stored.values()):
        raise InvalidParameters(
            {
                "idempotency_key": "It belongs to another submission, with other parameters or copies; choose a new one."
            }
        )
    return _noted([stored[key] for key in keys])


def _ask_the_same(stored: Job, asked: Job) -> bool:
    # What is stored of a secret differs each time it is given, so that its readers cannot tell which are equal.
    in_clear = definitions.get(asked.definition).in_clear
    return stored.definition == asked.definition and in_clear(stored.params) == in_clear(asked.params)


def _under_way(asked: Job) -> list[Job]:
    keys = unique_keys(definitions.get(asked.definition), asked.params)
    found = _noted(Job.objects.filter(unique_key__in=keys, state__in=LIVE)[:1])
    if found and asked.user and not Job.objects.visible_to(asked.user).filter(pk=found[0].pk).exists():
        raise UnderWay  # and says of it what the refusal cannot hide, no more
    return found


def _noted(jobs: Iterable[Job]) -> list[Job]:
    found = list(jobs)
    for job in found:
        job.was_there = True
    return found
