"""What the answer of a comparison is decided from: figures of pools, and samples of quiet rounds."""

from collections.abc import Mapping, Sequence
from typing import Any

from poolwise.lab.answer.decide import Inputs
from poolwise.lab.report import ValidityCheck, VariantFigures
from poolwise.lab.report.figures import Percentiles, TimeSums
from tests.helpers import report_sample as sample

GEVENT = next(pool for pool in sample.report().pools if pool.name == "gevent")
#: What slows each round, for all pools alike, and what is left of it for single pools.
ROUNDS = (1.0, 1.3, 0.9, 1.1, 1.2, 1.05)
RESTS = ((1.0, 1.001, 0.999, 1.0, 1.001, 0.999), (1.001, 0.999, 1.0, 1.001, 0.999, 1.0),
         (0.999, 1.0, 1.001, 0.999, 1.0, 1.001), (1.0, 0.999, 1.001, 1.001, 1.0, 0.999))  # fmt: skip


def figures(
    name: str, *, run_s: float = 0.1, cpu: float = 0.01, rate: float | None = 100.0, **changes: Any
) -> VariantFigures:
    """Return the figures of a pool whose jobs compute for the share `cpu` of their run."""
    time = TimeSums(
        cpu_s=cpu, run_queue_s=0.0, gil_wait_s=0.0, blocked_s=max(0.0, 1 - cpu), unattributed_s=0.0
    )
    plain = {
        "name": name, "pool": name, "model": name, "slots": 4, "jobs_per_s": rate, "overhead_s": None, "stall": None,
        "run_s": Percentiles(p50=run_s, p95=run_s), "makespans_s": [1.0], "time": time, "peak_memory_bytes": 80_000_000,
    }  # fmt: skip
    return GEVENT.model_copy(update=plain | changes)


def samples(per_job_s: Mapping[str, float], *, rounds: int = 6) -> dict[str, dict[int, float]]:
    """Return quiet samples of pools that take so many seconds per job."""
    return {
        name: {n + 1: s * ROUNDS[n] * RESTS[which % 4][n] for n in range(rounds)}
        for which, (name, s) in enumerate(per_job_s.items())
    }


def inputs(
    per_job_s: Mapping[str, float],
    *pools: VariantFigures,
    rounds: int = 6,
    failed: Sequence[ValidityCheck] = (),
    **changes: Any,
) -> Inputs:
    """Return the inputs of a decision; pools without figures have those of a job that waits."""
    given = {pool.name: pool for pool in pools}
    fields: dict[str, Any] = {
        "job": "io.wait", "samples": samples(per_job_s, rounds=rounds), "checks": failed, "cores": 2,
        "pools": [given.get(name) or figures(name) for name in per_job_s],
    }  # fmt: skip
    return Inputs(**fields | changes)
