"""Equal submissions: by an idempotency key of the caller, or by a unique definition, of which one job runs at a time."""

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
    """Give each job of a submission its idempotency key. It is scoped to the user: users do not share keys.

    Raise InvalidParameters for a key that is too long or not printable.
    """
    if len(key) > MAX_KEY_CHARS or not key.isprintable():
        raise InvalidParameters(
            {
                "idempotency_key": f"Use 1 to {MAX_KEY_CHARS} printable characters, and the same key for each retry."
            }
        )
    for number, job in enumerate(jobs):
        job.idempotency_key = f"{job.user_id or '-'}:{number}:{key}"


def unique_keys(definition: Definition, params: Mapping[str, Any]) -> list[str]:
    """Return the keys that equal jobs of a unique definition share: the one stored now, then those of older secrets."""
    fields = [definition.name, definition.in_clear(params)]
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"))
    if any(is_hidden(params.get(name)) for name in definition.secret_names):
        # Against a plain digest, secrets could be guessed.
        return list(signing.signatures(signing.UNIQUE, text))
    return [hashlib.sha256(text.encode()).hexdigest()]


def earlier(jobs: Sequence[Job]) -> list[Job]:
    """Return the stored jobs that are equal to these, in their order; nothing if these are new.

    Raise InvalidParameters if the key belongs to another submission, UnderWay for a job that the user may not see.
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
    if len(stored) != len(jobs) or not all(_is_same_submission(job, jobs[0]) for job in stored.values()):
        raise InvalidParameters(
            {
                "idempotency_key": "It belongs to another submission, with other parameters or copies; choose a new one."
            }
        )
    return _marked([stored[key] for key in keys])


def _is_same_submission(stored: Job, new: Job) -> bool:
    # A secret is stored differently each time, so that readers of the table cannot see which ones are equal.
    in_clear = definitions.get(new.definition).in_clear
    return stored.definition == new.definition and in_clear(stored.params) == in_clear(new.params)


def _under_way(new: Job) -> list[Job]:
    keys = unique_keys(definitions.get(new.definition), new.params)
    live = _marked(Job.objects.filter(unique_key__in=keys, state__in=LIVE)[:1])
    if live and new.user and not Job.objects.visible_to(new.user).filter(pk=live[0].pk).exists():
        raise UnderWay  # without any detail of the job
    return live


def _marked(jobs: Iterable[Job]) -> list[Job]:
    stored = list(jobs)
    for job in stored:
        job.was_there = True
    return stored
