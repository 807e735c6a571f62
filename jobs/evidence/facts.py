"""A comparison as read from the ledger: its blocks with their jobs, pool by pool."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django.conf import settings

from jobs import reports
from jobs.evidence import probe
from jobs.models import Block, Comparison
from jobs.reports import Run
from jobs.statistics import quantile, share


@dataclass(frozen=True)
class Measured:
    """A block with its jobs."""

    block: Block
    runs: Sequence[Run]

    @cached_property
    def figures(self) -> dict[str, Any]:
        """Return the block in the figures of reports."""
        return reports.pool_figures(self.block.arm, self.runs, slots=self.slots, pool=self.block.pool)

    @cached_property
    def probe(self) -> probe.Probe:
        """Return what was seen of the pool's processes."""
        return probe.read(self.block.probe or {})

    @property
    def slots(self) -> int:
        """Return the slots that the block had: live at its release, else as wanted, else as declared."""
        declared = settings.JOB_POOLS.get(self.block.pool, {}).get("concurrency", 1)
        return self.block.slots or self.block.wanted_slots or int(declared)

    def intervals(self) -> list[tuple[float, float]]:
        """Return when each job ran, as POSIX seconds."""
        return [
            (run.started_at.timestamp(), run.finished_at.timestamp())
            for run in self.runs
            if run.started_at is not None and run.finished_at is not None
        ]


@dataclass(frozen=True)
class Pool:
    """A pool, or another arm of the comparison, with the blocks that count, and all of its blocks."""

    name: str
    pool: str
    """The pool that it ran on: its name, unless parameters are compared."""
    model: str
    counted: Sequence[Measured]
    blocks: Sequence[Measured]
    """Every block that was released, in its order: measured, warm-up, calibration, void."""
    calibration: Sequence[Measured] = ()
    """The blocks of no-op jobs on its pool."""

    @property
    def measured(self) -> list[Measured]:
        """Return the measured blocks that are not void, of a sweep at any number of slots."""
        return [one for one in self.blocks if is_valid(one, Block.Role.MEASURED)]

    @property
    def void(self) -> list[Measured]:
        """Return the blocks that were void and repeated."""
        return [one for one in self.blocks if one.block.void_reason]

    @property
    def runs(self) -> list[Run]:
        """Return the jobs of the blocks that count."""
        return [run for block in self.counted for run in block.runs]

    @property
    def slots(self) -> int:
        """Return the slots of the newest block that counts."""
        return self.counted[-1].slots

    @cached_property
    def overhead_s(self) -> float | None:
        """Return what a no-op job costs the pool: the makespan a job, the median of the calibration blocks."""
        costs = [
            block.figures["makespan_s"] / len(block.runs)
            for block in self.calibration
            if block.figures["makespan_s"] is not None
        ]
        return quantile(costs, 0.5)

    @cached_property
    def cpu_share(self) -> float | None:
        """Return the part of the runs that was spent on a core."""
        return share([run.cpu_s for run in self.runs], [run.run_s for run in self.runs])


@dataclass(frozen=True)
class Facts:
    """All that the figures, the gate, the verdict and the advice are made of."""

    comparison: Comparison
    pools: Mapping[str, Pool]
    baseline: str

    @property
    def cores(self) -> int:
        """Return the cores that the workers could use as they told, else those of the coordinator's machine and quota."""
        if told := [count for block in self.all_counted for count in block.probe.cores]:
            return max(1, round(min(told)))
        environment = self.comparison.environment
        cores, quota = environment.get("cores"), environment.get("cpu_quota")
        whole = int(cores) if isinstance(cores, int | float) and cores >= 1 else 1
        return max(1, min(whole, round(quota))) if isinstance(quota, int | float) and quota > 0 else whole

    @property
    def all_counted(self) -> list[Measured]:
        """Return the blocks of all pools that count."""
        return [block for pool in self.pools.values() for block in pool.counted]


def read(comparison: Comparison) -> Facts:
    """Read a comparison's blocks that were released, and their jobs."""
    blocks = list(comparison.blocks.exclude(released_at=None).order_by("position"))
    runs: dict[int | None, list[Run]] = {}
    for run in reports.read_runs(blocks):
        runs.setdefault(run.block_id, []).append(run)
    found = [Measured(block, runs.get(block.pk, [])) for block in blocks]
    counted = {block.pk for block in reports.counted(blocks)}
    pools = {}
    for block in comparison.blocks.order_by("position").defer("probe"):
        if block.arm not in pools:
            pools[block.arm] = _pool(block, [one for one in found if one.runs], counted)
    return Facts(comparison, pools, baseline_of(comparison, pools))


def _pool(arm: Block, found: Sequence[Measured], counted: set[int]) -> Pool:
    own = [one for one in found if one.block.arm == arm.arm]
    return Pool(
        name=arm.arm,
        pool=arm.pool,
        model=str(settings.JOB_POOLS.get(arm.pool, {}).get("model", arm.pool)),
        counted=[one for one in own if one.block.pk in counted],
        blocks=own,
        calibration=[
            one for one in found if one.block.pool == arm.pool and is_valid(one, Block.Role.CALIBRATION)
        ],
    )


def is_valid(one: Measured, role: str) -> bool:
    """Return whether a block has the role and is not void."""
    return one.block.role == role and not one.block.void_reason


def baseline_of(comparison: Comparison, pools: Mapping[str, Pool]) -> str:
    """Return the pool that the others are compared with: as chosen, else a prefork pool, else the first."""
    if comparison.baseline in pools:
        return comparison.baseline
    prefork = (name for name, pool in pools.items() if pool.model == "prefork")
    return next(prefork, next(iter(pools), ""))
