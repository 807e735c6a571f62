"""The figures of one block, as the evidence holds them."""

from typing import Any

from jobs import verdicts
from jobs.evidence.facts import Facts, Measured
from jobs.models import State
from jobs.statistics import share

#: A job that spends less of its run on a core than this waits for most of it.
COMPUTES = 0.5


def block_figures(facts: Facts, found: Measured) -> dict[str, Any]:
    """Return a block in figures; None is what was not measured."""
    block, figures = found.block, found.figures
    makespan_s = figures["makespan_s"]
    ideal_s = ideal_makespan_s(facts, found)
    achieved = verdicts.achieved_concurrency(found.intervals())
    jobs = len(found.runs)
    return {
        "round": block.round,
        "role": str(block.role),
        "slots": found.slots,
        "jobs": jobs,
        "makespan_s": makespan_s,
        "jobs_per_s": jobs / makespan_s if makespan_s else None,
        "succeeded": sum(run.state == State.SUCCEEDED for run in found.runs),
        "failed": figures["failed"],
        "run_s": figures["run_s"],
        "broker_wait_s": figures["broker_wait_s"],
        "worker_wait_s": figures["worker_wait_s"],
        "cpu_s_pool": found.probe.cpu_s,
        "peak_memory_bytes": found.probe.peak_memory_bytes,
        "db_connections": found.probe.db_connections,
        "concurrency": {"peak": achieved.peak, "mean": achieved.mean},
        "efficiency": ideal_s / makespan_s if ideal_s and makespan_s else None,
        "ideal_makespan_s": ideal_s,
        "void_reason": block.void_reason,
    }


def ideal_makespan_s(facts: Facts, found: Measured) -> float | None:
    """Return the makespan of a pool without overhead, in seconds; None of an empty block.

    A job that waits: ceil(jobs / slots) times the median run. One that computes: the CPU seconds over the cores.
    Jobs that arrive at a rate end no earlier than the last of them began.
    """
    run_s = found.figures["run_s"]["p50"]
    if run_s is None:
        return None
    jobs, comparison = len(found.runs), facts.comparison
    if comparison.arrival_rate_per_s:
        return float((jobs - 1) / comparison.arrival_rate_per_s + run_s)
    cpu_share = share([run.cpu_s for run in found.runs], [run.run_s for run in found.runs]) or 0.0
    return verdicts.ideal_makespan_s(
        waiting=cpu_share < COMPUTES,
        jobs=jobs,
        slots=min(found.slots, comparison.in_flight or found.slots),
        run_p50_s=run_s,
        cpu_total_s=sum(run.cpu_s or 0.0 for run in found.runs),
        cores=facts.cores,
    )
