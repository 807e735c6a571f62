"""The figures of a pool and of its batches in the report.

Durations are seconds; None: not measured.
"""

from typing import Annotated, Literal

from pydantic import Field

from poolwise.lab.statistics import Concurrency
from poolwise.support import Count, Frozen, Name, Number, Seconds, ShortText, Text, VariantName

type Role = Literal["measured", "warmup", "calibration", "pilot"]


class Percentiles(Frozen):
    """Median and 95th percentile, also of small samples."""

    p50: Seconds | None
    p95: Seconds | None


class BatchFigures(Frozen):
    """The figures of a batch; `counts` is whether the answer uses it (in a sweep: those with the most slots).

    `value_s` is what the batch counts with; `yardstick_s` the time of a fixed piece of work before it.
    """

    round: Count
    role: Role
    counts: bool
    slots: Count
    jobs: Count
    makespan_s: Seconds | None
    jobs_per_s: Number | None
    succeeded: Count
    failed: Count
    run_s: Percentiles
    broker_wait_s: Percentiles
    worker_wait_s: Percentiles
    cpu_s_pool: Seconds | None
    peak_memory_bytes: Count | None
    db_connections: Count | None
    concurrency: Concurrency
    efficiency: Number | None
    ideal_makespan_s: Seconds | None
    void_reason: Text
    value_s: Seconds | None = None
    yardstick_s: Seconds | None = None


class TimeSums(Frozen):
    """The parts of the run time of all jobs; `unattributed_s` is the time that cannot be split."""

    cpu_s: Seconds
    run_queue_s: Seconds
    gil_wait_s: Seconds
    blocked_s: Seconds
    unattributed_s: Seconds


class Stall(Frozen):
    """The longest stall of a pool's hub or event loop; `caused_by` is the job that caused it, if any."""

    max_s: Seconds
    caused_by: ShortText | None


class VariantFigures(Frozen):
    """The figures of a variant, usually a pool, over its rounds.

    `makespan_s`: first published to last finished, the median over batches; `speed_up`: relative to the slowest
    variant; `overhead_s`: the cost of a no-op job.
    """

    name: VariantName
    pool: Name
    model: ShortText
    slots: Count | None
    jobs: Count
    succeeded: Count
    failed: Count
    cancelled: Count
    unfinished: Count
    makespan_s: Seconds | None
    makespans_s: Annotated[list[Seconds], Field(max_length=1_000)]
    run_s: Percentiles
    broker_wait_s: Percentiles
    worker_wait_s: Percentiles
    cpu_s: Percentiles
    cpu_share: Number | None
    speed_up: Number | None = None
    jobs_per_s: Number | None
    batches: Annotated[list[BatchFigures], Field(max_length=10_000)]
    time: TimeSums
    overhead_s: Seconds | None
    stall: Stall | None
    peak_memory_bytes: Count | None

    @property
    def counted(self) -> list[BatchFigures]:
        """Return the batches that count and have ended, by round, in which variants are paired."""
        counted = [batch for batch in self.batches if batch.counts and batch.makespan_s]
        return sorted(counted, key=lambda batch: batch.round)
