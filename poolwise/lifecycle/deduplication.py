"""Equal submissions: by an idempotency key of the caller, or by a unique definition, of which one job runs at a time."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
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


def keys_of(job: Job) -> list[str]:
    """Return the keys under which an equal job of a unique definition may be stored."""
    return unique_keys(definitions.get(job.definition), job.params)


def earlier(jobs: Sequence[Job]) -> list[Job]:
    """Return the stored jobs that are equal to these, in their order; nothing if these are new.

    Raise InvalidParameters if the key belongs to another submission, UnderWay for a job that the user may not see.
    """
    return (_by_idempotency_key(jobs) if jobs[0].idempotency_key else []) or _under_way(jobs)


def _by_idempotency_key(jobs: Sequence[Job]) -> list[Job]:
    keys = [job.idempotency_key for job in jobs]
    stored = {job.idempotency_key: job for job in Job.objects.filter(idempotency_key__in=keys)}
    if not stored:
        return []
    if len(stored) != len(jobs) or not all(
        _is_same_submission(stored[job.idempotency_key], job) for job in jobs
    ):
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


def _under_way(jobs: Sequence[Job]) -> list[Job]:
    """Return the job of a unique definition that is under way; among jobs of one submission it refuses them all."""
    keys = [keys_of(job) if job.unique_key else [] for job in jobs]
    if not any(keys):
        return []
    live = _marked(Job.objects.filter(unique_key__in=[*chain.from_iterable(keys)], state__in=LIVE))
    if live and len(jobs) > 1:
        held = {job.unique_key for job in live}
        place = next(place for place, own in enumerate(keys) if held.intersection(own))
        raise UnderWay(f"jobs.{place}: {UnderWay()}")
    user = jobs[0].user
    if live and user and not Job.objects.visible_to(user).filter(pk=live[0].pk).exists():
        raise UnderWay  # without any detail of the job
    return live[:1]


def _marked(jobs: Iterable[Job]) -> list[Job]:
    stored = list(jobs)
    for job in stored:
        job.was_there = True
    return stored
