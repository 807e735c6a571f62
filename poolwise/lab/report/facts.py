"""A comparison as read from the database: its batches with their jobs, pool by pool."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from django.conf import settings

from poolwise.lab.report import process_stats as probe
from poolwise.lab.report import runs
from poolwise.lab.report.runs import Run
from poolwise.lab.variants import variants_of
from poolwise.models import Batch, Comparison
from poolwise.support import quantile


@dataclass(frozen=True)
class MeasuredBatch:
    """A batch with its jobs; `counts` is whether the answer uses it."""

    row: Batch
    runs: Sequence[Run]
    counts: bool

    @cached_property
    def makespan_s(self) -> float | None:
        """Return the seconds from first published to last finished; None until every job has ended."""
        return runs.makespan_s(self.runs)

    @cached_property
    def probe(self) -> probe.Probe:
        """Return the measurements of the pool's processes."""
        return probe.read(self.row.probe or {})

    @property
    def slots(self) -> int:
        """Return the slots of the batch: measured at its release, else as wanted, else as declared."""
        declared = settings.JOB_POOLS.get(self.row.pool, {}).get("concurrency", 1)
        return self.row.slots or self.row.wanted_slots or int(declared)

    def has_role(self, role: str) -> bool:
        """Return whether the batch has the role and is not void."""
        return self.row.role == role and not self.row.void_reason

    def intervals(self) -> list[tuple[float, float]]:
        """Return when each job ran, as POSIX seconds."""
        return [
            (run.started_at.timestamp(), run.finished_at.timestamp())
            for run in self.runs
            if run.started_at is not None and run.finished_at is not None
        ]


@dataclass(frozen=True)
class VariantRuns:
    """A variant of the comparison, usually a pool, with its released batches in order, void ones included."""

    name: str
    pool: str
    """The pool that it ran on; the same as its name unless parameters are compared."""
    model: str
    batches: Sequence[MeasuredBatch]
    calibration: Sequence[MeasuredBatch] = ()
    """The batches of no-op jobs on its pool."""
    planned: frozenset[int] = frozenset()
    """The rounds that it was to run in."""

    @cached_property
    def counted(self) -> list[MeasuredBatch]:
        """Return the batches that count."""
        return [batch for batch in self.batches if batch.counts]

    @cached_property
    def runs(self) -> list[Run]:
        """Return the jobs of the batches that count."""
        return [run for batch in self.counted for run in batch.runs]

    @property
    def makespans_s(self) -> list[float]:
        """Return the makespan of each batch that counts and has ended."""
        return [span_s for batch in self.counted if (span_s := batch.makespan_s) is not None]

    @property
    def makespan_s(self) -> float | None:
        """Return the median makespan."""
        return quantile(self.makespans_s, 0.5)

    @property
    def slots(self) -> int:
        """Return the slots of the newest batch that counts."""
        return self.counted[-1].slots

    @cached_property
    def overhead_s(self) -> float | None:
        """Return the cost of a no-op job: makespan over jobs, the median of the calibration batches."""
        costs = [
            span_s / len(batch.runs) for batch in self.calibration if (span_s := batch.makespan_s) is not None
        ]
        return quantile(costs, 0.5)


@dataclass(frozen=True)
class Facts:
    """The input of figures, validity checks and answer."""

    comparison: Comparison
    pools: Mapping[str, VariantRuns]
    baseline: str

    @property
    def cores(self) -> int:
        """Return the cores that the workers reported, else those of the coordinator's machine and CPU quota."""
        counted = [batch for pool in self.pools.values() for batch in pool.counted]
        if reported := [count for batch in counted for count in batch.probe.cores]:
            return max(1, round(min(reported)))
        environment = self.comparison.environment
        cores, quota = environment.get("cores"), environment.get("cpu_quota")
        whole = int(cores) if isinstance(cores, int | float) and cores >= 1 else 1
        return max(1, min(whole, round(quota))) if isinstance(quota, int | float) and quota > 0 else whole


def read(comparison: Comparison) -> Facts:
    """Read the released batches of a comparison, and their jobs."""
    batches = list(comparison.batches.exclude(released_at=None).order_by("position"))
    by_batch: dict[int | None, list[Run]] = {}
    for run in runs.read_runs(batches):
        by_batch.setdefault(run.batch_id, []).append(run)
    counted = {batch.pk for batch in runs.counted(batches)}
    measured = [
        MeasuredBatch(batch, by_batch[batch.pk], batch.pk in counted)
        for batch in batches
        if batch.pk in by_batch
    ]
    planned = list(comparison.batches.order_by("position").defer("probe"))
    pools = {}
    for batch in planned:
        if batch.variant not in pools:
            pools[batch.variant] = _pool(batch, planned, measured)
    return Facts(comparison, pools, baseline_of(comparison, pools))


def _pool(first: Batch, planned: Sequence[Batch], measured: Sequence[MeasuredBatch]) -> VariantRuns:
    return VariantRuns(
        name=first.variant,
        pool=first.pool,
        model=str(settings.JOB_POOLS.get(first.pool, {}).get("model", first.pool)),
        batches=[batch for batch in measured if batch.row.variant == first.variant],
        calibration=[
            batch
            for batch in measured
            if batch.row.pool == first.pool and batch.has_role(Batch.Role.CALIBRATION)
        ],
        planned=frozenset(
            batch.round
            for batch in planned
            if batch.variant == first.variant and batch.role == Batch.Role.MEASURED
        ),
    )


def baseline_of(comparison: Comparison, pools: Mapping[str, VariantRuns]) -> str:
    """Return the pool that the others are compared with: as chosen, else a prefork pool, else the first."""
    if comparison.baseline in pools:
        return comparison.baseline
    # The batches may come in another order than the values that are compared.
    planned = variants_of(list(dict.fromkeys(pool.pool for pool in pools.values())), comparison.vary)
    names = [variant.name for variant in planned if variant.name in pools] or list(pools)
    prefork = (name for name in names if pools[name].model == "prefork")
    return next(prefork, next(iter(names), ""))
