"""The responses of the API."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from ninja import Schema
from pydantic import BeforeValidator

from poolwise.lab import Report
from poolwise.support import shown


def without_secrets(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters as anybody may see them."""
    return {name: shown(value) for name, value in params.items()}


Params = Annotated[dict[str, Any], BeforeValidator(without_secrets)]


class QueueOut(Schema):
    """A pool's queue; `scheduled` jobs wait for their time, not for a slot; `workers` is null while Redis is unavailable."""

    pool: str
    queued: int
    oldest_s: float | None
    workers: int | None
    scheduled: int = 0


class Problem(Schema):
    """An error: a sentence, and a sentence for each invalid field.

    `idempotency_key`: what was submitted may have been stored; sent again under this key it is not stored twice.
    """

    detail: str
    fields: dict[str, str] = {}
    queue: QueueOut | None = None
    retry_after_s: int | None = None
    idempotency_key: str | None = None


class DefinitionOut(Schema):
    """A job definition; `parameters` is a JSON schema."""

    name: str
    kind: str
    title: str
    summary: str
    pool: str | None
    parameters: dict[str, Any]
    max_attempts: int
    soft_time_limit_s: float | None
    time_limit_s: float | None
    max_payload_bytes: int
    unavailable: str | None
    pause_state: str | None


class JobOut(Schema):
    """A job of a list; `due_at` is when it may run if it is scheduled or will be retried."""

    id: UUID
    definition: str
    params: Params
    pool: str
    state: str
    user: str | None
    created_at: datetime
    due_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    attempt: int
    max_attempts: int
    run_s: float | None
    cpu_s: float | None
    error_type: str
    error: str

    @staticmethod
    def resolve_user(job: Any) -> str | None:
        """Return the user's name."""
        return job.user.get_username() if job.user_id else None

    @staticmethod
    def resolve_due_at(job: Any) -> datetime | None:
        """Return `run_after`: the column `due_at` is for the coordinator, which clears it after publishing."""
        run_after: datetime | None = job.run_after
        return run_after


class JobDetailOut(JobOut):
    """A job without its result."""

    kind: str
    chosen_by: str
    parent_id: UUID | None
    published_at: datetime | None
    received_at: datetime | None
    recorded_at: datetime | None
    cancel_requested_at: datetime | None
    broker_wait_s: float | None
    worker_wait_s: float | None
    off_cpu_s: float | None
    record_lag_s: float | None
    payload_bytes: int
    result_bytes: int | None
    worker: str
    pid: int | None
    thread: str
    greenlet_or_task: str
    offloaded: bool
    history: list[dict[str, Any]]


class SubmittedOut(Schema):
    """The submitted jobs, in the order of the request."""

    jobs: list[JobOut]


class JobPageOut(Schema):
    """One page of jobs, newest first; `older` and `newer` are the cursors of its neighbours.

    `is_cut`: there are older jobs, which were not searched.
    """

    jobs: list[JobOut]
    older: str | None
    newer: str | None
    is_cut: bool


class ResultOut(Schema):
    """What a job returned."""

    result: Any


class CancelledOut(Schema):
    """The outcome of a cancel request: `cancelled`, `asked` or `unstoppable` (running), or `ended` (before)."""

    outcome: str
    job: JobOut


class PoolOut(Schema):
    """A pool; `workers` is null while Redis is unavailable."""

    name: str
    model: str
    queue: str
    concurrency: int
    state: str
    pause_state: str | None
    queued: int
    scheduled: int
    running: int
    oldest_s: float | None
    workers: int | None
    unconnected: int
    slots: int
    in_use: int


class ActionOut(Schema):
    """What an action of an operator did."""

    state: str
    has_changed: bool
    is_in_redis: bool
    detail: str

    @staticmethod
    def resolve_detail(action: Any) -> str:
        """Return the outcome as a sentence."""
        return str(action.text)


class PurgedOut(Schema):
    """How many jobs were cancelled, and messages removed from the broker (null: unknown)."""

    cancelled: int
    messages: int | None


class ComparisonOut(Schema):
    """A comparison of a list; `answer` is the text of its answer, null before."""

    id: UUID
    definition: str
    params: Params
    state: str
    copies: int
    rounds: int
    preset: str
    budget_s: float | None
    created_at: datetime
    finished_at: datetime | None
    end_reason: str
    answer: str | None

    @staticmethod
    def resolve_answer(comparison: Any) -> str | None:
        """Return the text of the answer."""
        return getattr(comparison, "answer_text", None)  # a new comparison has none


class ComparisonDetailOut(ComparisonOut):
    """A comparison with its report, its progress, and what it waits for."""

    report: Report | None
    progress: dict[str, Any]
    waits_for: str


class ComparisonPageOut(Schema):
    """One page of comparisons, newest first."""

    comparisons: list[ComparisonOut]
    older: str | None
    newer: str | None
