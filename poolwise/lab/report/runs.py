"""The jobs of a comparison's batches, with the columns that its figures need."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

from poolwise.models import ENDED, Batch, Job


class Run(NamedTuple):
    """The columns of a job that the figures need; stamps are aware datetimes, durations seconds."""

    id: UUID
    batch_id: int | None
    state: str
    published_at: datetime | None
    finished_at: datetime | None
    broker_wait_s: float | None
    worker_wait_s: float | None
    run_s: float | None
    cpu_s: float | None
    attempt: int
    history: Sequence[Mapping[str, Any]]
    received_at: datetime | None
    started_at: datetime | None
    run_queue_s: float | None
    gil_wait_s: float | None
    blocked_s: float | None
    stall_s: float | None
    caused_stall_s: float | None
    worker: str

    @property
    def sojourn_s(self) -> float | None:
        """Return the seconds from published to finished."""
        parts = (self.broker_wait_s, self.worker_wait_s, self.run_s)
        return None if None in parts else float(sum(part or 0.0 for part in parts))

    @property
    def first_published_at(self) -> datetime | None:
        """Return when the first attempt was published."""
        # The column of a retried job is of its newest attempt; the makespan starts at the first.
        for attempt in self.history if self.attempt > 1 else ():
            stamp = attempt.get("published_at")
            if isinstance(stamp, int | float):
                return datetime.fromtimestamp(stamp, UTC)
            if isinstance(stamp, str):
                return datetime.fromisoformat(stamp)
        return self.published_at


def read_runs(batches: Iterable[Batch]) -> list[Run]:
    """Return the jobs of the batches."""
    rows = Job.objects.filter(batch__in=list(batches)).order_by()
    return [Run(*row) for row in rows.values_list(*Run._fields)]


def makespan_s(runs: Sequence[Run]) -> float | None:
    """Return the seconds from first published to last finished of a batch; None until every job has ended."""
    if any(run.state not in ENDED for run in runs):
        return None
    published = [stamp for run in runs if (stamp := run.first_published_at) is not None]
    finished = [run.finished_at for run in runs if run.finished_at is not None]
    if not published or not finished:
        return None
    return max(0.0, (max(finished) - min(published)).total_seconds())


def counted(batches: Iterable[Batch]) -> list[Batch]:
    """Return the batches that the answer uses: measured, not void; in a sweep those with the most slots."""
    measured = [batch for batch in batches if batch.role == Batch.Role.MEASURED and not batch.void_reason]
    most: dict[str, int] = {}
    for batch in measured:
        most[batch.variant] = max(most.get(batch.variant, 0), batch.wanted_slots or 0)
    return [batch for batch in measured if (batch.wanted_slots or 0) == most[batch.variant]]
