"""The jobs behind a report, one row each: from the database, or imported with a bundle."""

from datetime import datetime
from typing import NamedTuple

from poolwise.lab.report import facts
from poolwise.lab.report.runs import Run
from poolwise.models import Comparison


class Sample(NamedTuple):
    """One job of a batch that is not void; stamps are aware datetimes, durations seconds."""

    pool: str
    round: int
    role: str
    slots: int
    state: str
    broker_wait_s: float | None
    worker_wait_s: float | None
    run_s: float | None
    cpu_s: float | None
    run_queue_s: float | None
    gil_wait_s: float | None
    blocked_s: float | None
    stall_s: float | None
    published_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None

    @property
    def wait_s(self) -> float | None:
        """Return the seconds from published to started."""
        if self.broker_wait_s is None or self.worker_wait_s is None:
            return None
        return self.broker_wait_s + self.worker_wait_s

    @property
    def interval(self) -> tuple[float, float] | None:
        """Return when the job ran, as POSIX seconds."""
        if self.started_at is None or self.finished_at is None:
            return None
        return self.started_at.timestamp(), self.finished_at.timestamp()


SAMPLE_COLUMNS = Sample._fields
_OF_THE_JOB, _FIRST_STAMP = SAMPLE_COLUMNS.index("state"), SAMPLE_COLUMNS.index("published_at")
#: The key in `Batch.probe` that holds the jobs of an imported batch.
IMPORTED_SAMPLES = "samples"


def samples(comparison: Comparison) -> list[Sample]:
    """Return the jobs of the batches that are not void, in the order of the batches."""
    if comparison.imported_at is not None:
        return _imported(comparison)
    batches = [batch for pool in facts.read(comparison).pools.values() for batch in pool.batches]
    return [_sample(batch, run) for batch in batches if not batch.row.void_reason for run in batch.runs]


def _sample(batch: facts.MeasuredBatch, run: Run) -> Sample:
    row = batch.row
    columns = (getattr(run, name) for name in SAMPLE_COLUMNS[_OF_THE_JOB:])
    return Sample._make((row.variant, row.round, str(row.role), batch.slots, *columns))._replace(
        published_at=run.first_published_at
    )


def _imported(comparison: Comparison) -> list[Sample]:
    """Return imported samples: rows with stamps in ISO 8601, stored by batch."""
    probes = comparison.batches.order_by("position").values_list("probe", flat=True)
    rows = (row for probe in probes for row in probe.get(IMPORTED_SAMPLES, ()))
    return [Sample._make((*row[:_FIRST_STAMP], *map(_moment, row[_FIRST_STAMP:]))) for row in rows]


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
