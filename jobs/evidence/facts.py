"""A comparison as read from the ledger: its blocks with their jobs, pool by pool."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from django.conf import settings

from jobs.evidence import probe, runs
from jobs.evidence.runs import Run
from jobs.models import Block, Comparison
from jobs.statistics import quantile


@dataclass(frozen=True)
class Measured:
    """A block with its jobs; `counts` tells whether the outcome is made of it."""

    block: Block
    runs: Sequence[Run]
    counts: bool

    @cached_property
    def makespan_s(self) -> float | None:
        """Return the seconds from first published to last finished; None until every job has ended."""
        return runs.makespan_s(self.runs)

    @cached_property
    def probe(self) -> probe.Probe:
        """Return what was seen of the pool's processes."""
        return probe.read(self.block.probe or {})

    @property
    def slots(self) -> int:
        """Return the slots that the block had: live at its release, else as wanted, else as declared."""
        declared = settings.JOB_POOLS.get(self.block.pool, {}).get("concurrency", 1)
        return self.block.slots or self.block.wanted_slots or int(declared)

    def has_role(self, role: str) -> bool:
        """Return whether the block has the role and is not void."""
        return self.block.role == role and not self.block.void_reason

    def intervals(self) -> list[tuple[float, float]]:
        """Return when each job ran, as POSIX seconds."""
        return [
            (run.started_at.timestamp(), run.finished_at.timestamp())
            for run in self.runs
            if run.started_at is not None and run.finished_at is not None
        ]


@dataclass(frozen=True)
class VariantRuns:
    """A pool, or another arm of the comparison, with the blocks that were released in their order, void ones too."""

    name: str
    pool: str
    """The pool that it ran on: its name, unless parameters are compared."""
    model: str
    blocks: Sequence[Measured]
    calibration: Sequence[Measured] = ()
    """The blocks of no-op jobs on its pool."""

    @cached_property
    def counted(self) -> list[Measured]:
        """Return the blocks that count."""
        return [one for one in self.blocks if one.counts]

    @cached_property
    def runs(self) -> list[Run]:
        """Return the jobs of the blocks that count."""
        return [run for one in self.counted for run in one.runs]

    @property
    def makespans_s(self) -> list[float]:
        """Return the makespan of each block that counts and has ended."""
        return [span_s for one in self.counted if (span_s := one.makespan_s) is not None]

    @property
    def makespan_s(self) -> float | None:
        """Return the median makespan."""
        return quantile(self.makespans_s, 0.5)

    @property
    def slots(self) -> int:
        """Return the slots of the newest block that counts."""
        return self.counted[-1].slots

    @cached_property
    def overhead_s(self) -> float | None:
        """Return what a no-op job costs the pool: the makespan a job, the median of the calibration blocks."""
        costs = [span_s / len(one.runs) for one in self.calibration if (span_s := one.makespan_s) is not None]
        return quantile(costs, 0.5)


@dataclass(frozen=True)
class Facts:
    """All that the figures, the gate, the verdict and the advice are made of."""

    comparison: Comparison
    pools: Mapping[str, VariantRuns]
    baseline: str

    @property
    def cores(self) -> int:
        """Return the cores that the workers could use as they told, else those of the coordinator's machine and quota."""
        counted = [one for pool in self.pools.values() for one in pool.counted]
        if told := [count for one in counted for count in one.probe.cores]:
            return max(1, round(min(told)))
        environment = self.comparison.environment
        cores, quota = environment.get("cores"), environment.get("cpu_quota")
        whole = int(cores) if isinstance(cores, int | float) and cores >= 1 else 1
        return max(1, min(whole, round(quota))) if isinstance(quota, int | float) and quota > 0 else whole


def read(comparison: Comparison) -> Facts:
    """Read a comparison's blocks that were released, and their jobs."""
    blocks = list(comparison.blocks.exclude(released_at=None).order_by("position"))
    by_block: dict[int | None, list[Run]] = {}
    for run in runs.read_runs(blocks):
        by_block.setdefault(run.block_id, []).append(run)
    counted = {block.pk for block in runs.counted(blocks)}
    measured = [
        Measured(block, by_block[block.pk], block.pk in counted) for block in blocks if block.pk in by_block
    ]
    pools = {}
    for block in comparison.blocks.order_by("position").defer("probe"):
        if block.arm not in pools:
            pools[block.arm] = _pool(block, measured)
    return Facts(comparison, pools, baseline_of(comparison, pools))


def _pool(arm: Block, measured: Sequence[Measured]) -> VariantRuns:
    return VariantRuns(
        name=arm.arm,
        pool=arm.pool,
        model=str(settings.JOB_POOLS.get(arm.pool, {}).get("model", arm.pool)),
        blocks=[one for one in measured if one.block.arm == arm.arm],
        calibration=[
            one for one in measured if one.block.pool == arm.pool and one.has_role(Block.Role.CALIBRATION)
        ],
    )


def baseline_of(comparison: Comparison, pools: Mapping[str, VariantRuns]) -> str:
    """Return the pool that the others are compared with: as chosen, else a prefork pool, else the first."""
    if comparison.baseline in pools:
        return comparison.baseline
    prefork = (name for name, pool in pools.items() if pool.model == "prefork")
    return next(prefork, next(iter(pools), ""))
