"""What the API answers."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from ninja import Schema
from pydantic import BeforeValidator

from poolwise.lab import Report
from poolwise.support import shown


def _without_secrets(params: Mapping[str, Any]) -> dict[str, Any]:
    return {name: shown(value) for name, value in params.items()}


Params = Annotated[dict[str, Any], BeforeValidator(_without_secrets)]


class QueueOut(Schema):
    """A pool's queue; `scheduled` jobs wait for their time, not for a slot; `workers` is null while Redis is away."""

    pool: str
    queued: int
    oldest_s: float | None
    workers: int | None
    scheduled: int = 0


class Problem(Schema):
    """An error: a sentence, and a sentence for each value at fault."""

    detail: str
    fields: dict[str, str] = {}
    queue: QueueOut | None = None
    retry_after_s: int | None = None


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
    """A job of a list; `due_at` is when it may run, where it was scheduled or is tried again after a while."""

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
        """Return when the job may run; the ledger's `due_at` is the coordinator's own, and gone once it published."""
        found: datetime | None = job.run_after
        return found


class JobDetailOut(JobOut):
    """All of a job but its result."""

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
    """What was submitted."""

    jobs: list[JobOut]


class JobPageOut(Schema):
    """One page of jobs, newest first; `older` and `newer` are the cursors of its neighbours.

    `is_cut` where there are older jobs that the filters were not tried on.
    """

    jobs: list[JobOut]
    older: str | None
    newer: str | None
    is_cut: bool


class ResultOut(Schema):
    """What a job returned."""

    result: Any


class CancelledOut(Schema):
    """What a request to cancel came to: `cancelled`, `asked` (its worker was) or `ended` (before)."""

    outcome: str
    job: JobOut


class PoolOut(Schema):
    """A pool; what is live about it is null while Redis is away."""

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
    """How many jobs were cancelled, and messages taken off the broker (null: it cannot be looked into)."""

    cancelled: int
    messages: int | None


class ComparisonOut(Schema):
    """A comparison of a list; `verdict` is the sentence of its report, once that is frozen."""

    id: UUID
    definition: str
    params: Params
    state: str
    copies: int
    rounds: int
    preset: str
    created_at: datetime
    finished_at: datetime | None
    end_reason: str
    verdict: str | None

    @staticmethod
    def resolve_verdict(comparison: Any) -> str | None:
        """Return the sentence of the verdict."""
        return getattr(comparison, "sentence", None)  # one that was just planned has none


class ComparisonDetailOut(ComparisonOut):
    """A comparison with its report, how far it is, and what it waits for."""

    report: Report | None
    progress: dict[str, Any]
    waits_for: str


class ComparisonPageOut(Schema):
    """One page of comparisons, newest first."""

    comparisons: list[ComparisonOut]
    older: str | None
    newer: str | None
