"""A comparison as read from the ledger: its batches with their jobs, pool by pool."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from django.conf import settings

from poolwise.lab.report import process_stats as probe
from poolwise.lab.report import runs
from poolwise.lab.report.runs import Run
from poolwise.models import Batch, Comparison
from poolwise.support import quantile


@dataclass(frozen=True)
class MeasuredBatch:
    """A batch with its jobs; `counts` tells whether the outcome is made of it."""

    batch: Batch
    runs: Sequence[Run]
    counts: bool

    @cached_property
    def makespan_s(self) -> float | None:
        """Return the seconds from first published to last finished; None until every job has ended."""
        return runs.makespan_s(self.runs)

    @cached_property
    def probe(self) -> probe.Probe:
        """Return what was seen of the pool's processes."""
        return probe.read(self.batch.probe or {})

    @property
    def slots(self) -> int:
        """Return the slots that the batch had: live at its release, else as wanted, else as declared."""
        declared = settings.JOB_POOLS.get(self.batch.pool, {}).get("concurrency", 1)
        return self.batch.slots or self.batch.wanted_slots or int(declared)

    def has_role(self, role: str) -> bool:
        """Return whether the batch has the role and is not void."""
        return self.batch.role == role and not self.batch.void_reason

    def intervals(self) -> list[tuple[float, float]]:
        """Return when each job ran, as POSIX seconds."""
        return [
            (run.started_at.timestamp(), run.finished_at.timestamp())
            for run in self.runs
            if run.started_at is not None and run.finished_at is not None
        ]


@dataclass(frozen=True)
class VariantRuns:
    """A pool, or another variant of the comparison, with the batches that were released in their order, void ones too."""

    name: str
    pool: str
    """The pool that it ran on: its name, unless parameters are compared."""
    model: str
    batches: Sequence[MeasuredBatch]
    calibration: Sequence[MeasuredBatch] = ()
    """The batches of no-op jobs on its pool."""

    @cached_property
    def counted(self) -> list[MeasuredBatch]:
        """Return the batches that count."""
        return [one for one in self.batches if one.counts]

    @cached_property
    def runs(self) -> list[Run]:
        """Return the jobs of the batches that count."""
        return [run for one in self.counted for run in one.runs]

    @property
    def makespans_s(self) -> list[float]:
        """Return the makespan of each batch that counts and has ended."""
        return [span_s for one in self.counted if (span_s := one.makespan_s) is not None]

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
        """Return what a no-op job costs the pool: the makespan a job, the median of the calibration batches."""
        costs = [span_s / len(one.runs) for one in self.calibration if (span_s := one.makespan_s) is not None]
        return quantile(costs, 0.5)


@dataclass(frozen=True)
class Facts:
    """All that the figures, the validity checks, the verdict and the advice are made of."""

    comparison: Comparison
    pools: Mapping[str, VariantRuns]
    baseline: str

    @property
    def cores(self) -> int:
        """Return the cores that the workers reported, else those of the coordinator's machine and quota."""
        counted = [one for pool in self.pools.values() for one in pool.counted]
        if reported := [count for one in counted for count in one.probe.cores]:
            return max(1, round(min(reported)))
        environment = self.comparison.environment
        cores, quota = environment.get("cores"), environment.get("cpu_quota")
        whole = int(cores) if isinstance(cores, int | float) and cores >= 1 else 1
        return max(1, min(whole, round(quota))) if isinstance(quota, int | float) and quota > 0 else whole


def read(comparison: Comparison) -> Facts:
    """Read a comparison's batches that were released, and their jobs."""
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
    pools = {}
    for batch in comparison.batches.order_by("position").defer("probe"):
        if batch.variant not in pools:
            pools[batch.variant] = _pool(batch, measured)
    return Facts(comparison, pools, baseline_of(comparison, pools))


def _pool(first: Batch, measured: Sequence[MeasuredBatch]) -> VariantRuns:
    return VariantRuns(
        name=first.variant,
        pool=first.pool,
        model=str(settings.JOB_POOLS.get(first.pool, {}).get("model", first.pool)),
        batches=[one for one in measured if one.batch.variant == first.variant],
        calibration=[
            one for one in measured if one.batch.pool == first.pool and one.has_role(Batch.Role.CALIBRATION)
        ],
    )


def baseline_of(comparison: Comparison, pools: Mapping[str, VariantRuns]) -> str:
    """Return the pool that the others are compared with: as chosen, else a prefork pool, else the first."""
    if comparison.baseline in pools:
        return comparison.baseline
    prefork = (name for name, pool in pools.items() if pool.model == "prefork")
    return next(prefork, next(iter(pools), ""))
