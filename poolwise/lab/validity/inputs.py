"""The validity checks of a comparison, and the inputs that each needs."""

import json
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

from django.conf import settings

from poolwise.lab import statistics
from poolwise.lab.report.facts import Facts, MeasuredBatch, VariantRuns
from poolwise.lab.report.model import ValidityCheck
from poolwise.lab.report.pools import stall_of
from poolwise.lab.report.runs import Run
from poolwise.lab.validity import fairness, measured
from poolwise.lab.validity.measured import Load
from poolwise.models import JobState
from poolwise.support import quantile


def validity_checks(facts: Facts) -> list[ValidityCheck]:
    """Return the checks that do not depend on the samples."""
    pools = facts.pools
    environment = facts.comparison.environment
    prefetch = str(environment.get("prefetch") or "")
    return [
        fairness.complete(_by_pool(facts, missing_rounds), _by_pool(facts, _void_reasons)),
        fairness.code(_by_pool(facts, lambda pool: _software(pool, str(environment.get("code") or "")))),
        fairness.machine(_by_pool(facts, _machines), _by_pool(facts, _cores)),
        fairness.parameters(_by_pool(facts, lambda pool: _parameters(facts, pool))),
        fairness.prefetch(_by_pool(facts, lambda pool: _prefetches(pool) or {prefetch})),
        fairness.alone(_by_pool(facts, _others_slot_share), _by_pool(facts, lambda pool: _others_cpu_share(facts, pool))),
        fairness.other_load(_by_pool(facts, _other_load), facts.cores),
        fairness.failures(_by_pool(facts, _failures)),
        measured.concurrency(_by_pool(facts, lambda pool: _loads(facts, pool)), _slots(facts)),
        fairness.clocks(_by_pool(facts, _reversed), sum(len(pool.runs) for pool in pools.values())),
        measured.stalls(_by_pool(facts, stall_of), _by_pool(facts, lambda pool: pool.makespan_s)),
        fairness.patched([p for p, pool in pools.items() if any(batch.probe.is_unpatched for batch in pool.counted)]),
    ]  # fmt: skip


def _by_pool(facts: Facts, input_of: Any) -> dict[str, Any]:
    return {name: input_of(pool) for name, pool in facts.pools.items()}


def missing_rounds(pool: VariantRuns) -> list[int]:
    """Return the rounds without a completed batch of the pool."""
    done = {batch.row.round for batch in pool.counted if batch.makespan_s is not None}
    return sorted(pool.planned - done)


def _void_reasons(pool: VariantRuns) -> list[str]:
    return [batch.row.void_reason for batch in pool.batches if batch.row.void_reason]


def _software(pool: VariantRuns, code: str) -> set[str]:
    return {text for batch in pool.counted for text in batch.probe.software} or {code}


def _machines(pool: VariantRuns) -> dict[str, str]:
    """Return the host name by machine: as the workers report, else the part of their names after the @."""
    reported = {key: host for batch in pool.counted for key, host in batch.probe.machines.items()}
    named = {run.worker.rpartition("@")[2] for run in pool.runs if run.worker}
    return reported or {host: host for host in named}


def _cores(pool: VariantRuns) -> set[str]:
    return {f"{count:g}" for batch in pool.counted for count in batch.probe.cores}


def _parameters(facts: Facts, pool: VariantRuns) -> set[str]:
    """Return the parameters of each batch as JSON, without those that are compared."""
    params, compared = facts.comparison.params, facts.comparison.vary or {}
    by_batch = [{**params, **(batch.row.params or {})} for batch in pool.counted]
    kept = [{name: value for name, value in whole.items() if name not in compared} for whole in by_batch]
    return {json.dumps(values, sort_keys=True) for values in kept}


def _prefetches(pool: VariantRuns) -> set[str]:
    return {text for batch in pool.counted for text in batch.probe.prefetches}


def _others_slot_share(pool: VariantRuns) -> float:
    """Return the largest share of the pool's slots that jobs of others held during a batch."""
    return max((_share(b.probe.others_slot_s, b.slots, b.makespan_s) for b in pool.counted), default=0.0)


def _others_cpu_share(facts: Facts, pool: VariantRuns) -> float:
    """Return the largest share of the cores that jobs of others used during a batch."""
    return max((_share(b.probe.others_cpu_s, facts.cores, b.makespan_s) for b in pool.counted), default=0.0)


def _share(used_s: float, of: int, makespan_s: float | None) -> float:
    return used_s / (of * makespan_s) if of and makespan_s else 0.0


def _other_load(pool: VariantRuns) -> float | None:
    return quantile([batch.probe.other_load for batch in pool.counted], 0.5)


def _failures(pool: VariantRuns) -> tuple[int, int]:
    runs = pool.runs
    return len(runs), sum(run.state != JobState.SUCCEEDED for run in runs)


def _slots(facts: Facts) -> dict[str, tuple[int, int]]:
    slots = {}
    for name, pool in facts.pools.items():
        if pool.counted:
            wanted = pool.counted[-1].row.wanted_slots
            declared = wanted or settings.JOB_POOLS.get(pool.pool, {}).get("concurrency") or pool.slots
            slots[name] = (pool.slots, int(declared))
    return slots


def _reversed(pool: VariantRuns) -> list[float]:
    return [by_s for run in pool.runs if (by_s := reversed_by_s(run)) > 0]


def reversed_by_s(run: Run) -> float:
    """Return by how many seconds the stamps of a job are out of order; 0 for a retried job: they are of two attempts."""
    stamps = (run.first_published_at, run.received_at, run.started_at, run.finished_at)
    known = [stamp for stamp in stamps if stamp is not None]
    if run.attempt > 1:
        return 0.0
    return max((max(0.0, (a - b).total_seconds()) for a, b in pairwise(known)), default=0.0)


def _loads(facts: Facts, pool: VariantRuns) -> list[Load]:
    return [load(facts, pool, batch) for batch in pool.counted]


def load(facts: Facts, pool: VariantRuns, batch: MeasuredBatch) -> Load:
    """Return what the check of the slots needs to know about a batch."""
    achieved = statistics.achieved_concurrency(batch.intervals())
    comparison = facts.comparison
    return Load(
        model=pool.model,
        slots=batch.slots,
        jobs=len(batch.runs),
        cores=facts.cores,
        peak=achieved.peak,
        mean=achieved.mean,
        run_s=_median(run.run_s for run in batch.runs),
        cpu_s=_median(run.cpu_s for run in batch.runs),
        run_queue_s=_median(run.run_queue_s for run in batch.runs),
        overhead_s=pool.overhead_s,
        in_flight=comparison.in_flight,
        rate_per_s=comparison.arrival_rate_per_s,
        starts_s=sorted(start for start, _ in batch.intervals()),
    )


def _median(values: Iterable[float | None]) -> float:
    return quantile(values, 0.5) or 0.0
