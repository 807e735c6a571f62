"""The figures of a pool and of its batches, as the report holds them.

Durations are seconds; None is what was not measured.
"""

from typing import Annotated, Literal

from pydantic import Field

from poolwise.lab.statistics import Concurrency
from poolwise.support import Count, Frozen, Name, Number, Seconds, ShortText, Text, VariantName

type Role = Literal["measured", "warmup", "calibration"]


class Percentiles(Frozen):
    """A median and a 95th percentile, of small samples too."""

    p50: Seconds | None
    p95: Seconds | None


class BatchFigures(Frozen):
    """One batch in figures; `counts` tells those that the outcome is made of, of a sweep those at the most slots."""

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


class TimeSums(Frozen):
    """What the run seconds of all jobs went to; `unattributed_s` is what cannot be attributed, job by job."""

    cpu_s: Seconds
    run_queue_s: Seconds
    gil_wait_s: Seconds
    blocked_s: Seconds
    unattributed_s: Seconds


class Stall(Frozen):
    """A pool's longest stall of its hub or loop; `caused_by` is the job that caused it, if any did."""

    max_s: Seconds
    caused_by: ShortText | None


class VariantFigures(Frozen):
    """A pool, or another variant of the comparison, in figures over its rounds.

    `makespan_s` is first published to last finished of a batch, the median over batches; `speed_up` is against the
    slowest by it; `overhead_s` is what a no-op job costs the pool.
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
        """Return the batches that count and have ended, by their rounds, in which pools are paired."""
        counted = [batch for batch in self.batches if batch.counts and batch.makespan_s]
        return sorted(counted, key=lambda batch: batch.round)
