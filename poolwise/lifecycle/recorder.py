"""The only writer of outcomes: record the entries of the stream in the database, exactly once.

`folding` decides what an entry changes: one that is recorded twice, or belongs to an older attempt, changes nothing.
"""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from operator import attrgetter, itemgetter
from typing import Any
from uuid import UUID

from celery import states as celery_states
from django.db import transaction
from django.utils import timezone
from django_celery_results.models import TaskResult

from poolwise.lifecycle.folding import ATTEMPT_DEFAULTS, JobRow, fold, is_unwanted
from poolwise.lifecycle.stream import Ending, Entry, Outcome, Place, Started
from poolwise.models import Job, JobLog, JobState, lock_rows, update_rows, upsert_rows
from poolwise.support import SECRET_MARK, as_uuid, is_storable, shown, storable, to_datetime

_READ = [each.name for each in fields(JobRow)]
_WRITTEN = (
    *("id", "state", "attempt", "history", "due_at", "run_after", "recorded_at", "record_lag_s"), *ATTEMPT_DEFAULTS
)  # fmt: skip
_row_of = attrgetter(*_WRITTEN)
_RESULT = (
    "task_id", "task_name", "task_args", "task_kwargs", "status", "worker", "content_type", "content_encoding", "result",
    "date_created", "date_started", "date_done", "traceback", "meta",
)  # fmt: skip
#: Not changed by a later attempt.
_RESULT_ONCE = ("task_args", "task_kwargs", "content_type", "content_encoding", "date_created")
_CELERY_STATES = {
    JobState.SUCCEEDED: celery_states.SUCCESS,
    JobState.FAILED: celery_states.FAILURE,
    JobState.CANCELLED: celery_states.REVOKED,
    JobState.QUEUED: celery_states.RETRY,
}


@dataclass(slots=True)
class Recorded:
    """The result of recording a batch."""

    applied: int = 0
    stale: int = 0  # of an older attempt, or after the first ending
    unknown: int = 0  # of a job that is not in the database
    ended: list[JobRow] = field(default_factory=list)
    unwanted: list[UUID] = field(default_factory=list)  # started after they had ended

    def counts(self) -> Counter[str]:
        """Return the counts by name, for logs."""
        return Counter(applied=self.applied, stale=self.stale, unknown=self.unknown, ended=len(self.ended))


def record(entries: Iterable[Entry]) -> Recorded:
    """Fold entries into the database, in stream order and one transaction. Raise the database's errors."""
    entries = [_storable(entry) for entry in entries]
    recorded = Recorded()
    now = timezone.now()
    with transaction.atomic():
        jobs = _lock({entry.job_id for entry in entries})
        changed: dict[UUID, JobRow] = {}
        outcomes: dict[UUID, tuple[JobRow, Outcome, str]] = {}
        logs: list[JobLog] = []
        for entry in entries:
            job = jobs.get(entry.job_id)
            if job is None:
                recorded.unknown += 1
            elif not fold(job, entry, now=now):
                recorded.stale += 1
                if isinstance(entry, Started) and is_unwanted(job, entry):
                    recorded.unwanted.append(job.id)
            else:
                recorded.applied += 1
                changed[job.id] = job
                if isinstance(entry, Outcome) and entry.ending is not Ending.PAUSED:
                    # The state now: a later entry of this batch may start the next attempt.
                    outcomes[job.id] = (job, entry, _CELERY_STATES[JobState(job.state)])
                    logs += _log_of(entry)
        update_rows(Job, _WRITTEN, [_row_of(job) for job in changed.values()])
        _write_results(outcomes.values(), now=now)
        if logs:
            JobLog.objects.bulk_create(logs, ignore_conflicts=True)
    recorded.ended = [job for job, _, _ in outcomes.values() if job.has_ended]
    return recorded


def _storable(entry: Entry) -> Entry:
    place, texts = entry.place, [entry.place.worker, entry.place.thread, entry.place.greenlet_or_task]
    if isinstance(entry, Outcome):
        texts += [entry.error_type, entry.error, entry.traceback, *(text for _, _, text in entry.log)]
    if is_storable("".join(texts)):
        return entry
    place = Place(storable(place.worker), place.pid, *map(storable, (place.thread, place.greenlet_or_task)))
    if isinstance(entry, Started):
        return replace(entry, place=place)
    return replace(
        entry,
        place=place,
        error_type=storable(entry.error_type),
        error=storable(entry.error),
        traceback=storable(entry.traceback),
        log=tuple((at, level, storable(text)) for at, level, text in entry.log),
    )


def _lock(job_ids: Iterable[str]) -> dict[str, JobRow]:
    """Return the jobs by the ids that the entries give, which anybody may have written."""
    ids = {text: job_id for text in job_ids if (job_id := as_uuid(text))}
    rows = lock_rows(Job, _READ, set(ids.values()), as_text=("params",))
    jobs = {row[0]: JobRow(*row) for row in rows}
    return {text: jobs[job_id] for text, job_id in ids.items() if job_id in jobs}


def _write_results(outcomes: Iterable[tuple[JobRow, Outcome, str]], *, now: datetime) -> None:
    rows = [_result_of(job, outcome, status, now) for job, outcome, status in outcomes]
    rows.sort(key=itemgetter(0))  # in one order, as above
    upsert_rows(TaskResult, _RESULT, rows, unique="task_id", once=_RESULT_ONCE)


def _result_of(job: JobRow, outcome: Outcome, status: str, now: datetime) -> tuple[Any, ...]:
    failed = outcome.ending is not Ending.SUCCEEDED
    error = {"exc_type": outcome.error_type, "exc_message": [outcome.error]}
    return (
        str(job.id),
        job.definition,
        "[]",
        _shown(job.params),
        status,
        outcome.place.worker[:100],
        "application/json",
        "utf-8",
        json.dumps(error) if failed else outcome.result,
        now,
        to_datetime(outcome.timings.started_at),
        now,
        outcome.traceback or None,
        f'{{"attempt": {outcome.attempt}, "children": []}}',
    )


def _shown(params: str) -> str:
    if SECRET_MARK not in params:  # nearly always: no need to parse them
        return params
    return json.dumps({name: shown(value) for name, value in json.loads(params).items()})


def _log_of(outcome: Outcome) -> Sequence[JobLog]:
    if not outcome.log and not outcome.log_dropped:
        return ()
    lines = [list(line) for line in outcome.log]
    return (
        JobLog(
            job_id=UUID(outcome.job_id), attempt=outcome.attempt, lines=lines, dropped=outcome.log_dropped
        ),
    )
