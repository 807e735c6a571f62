"""What the validity checks look at, taken from a comparison."""

import json
from collections.abc import Iterable, Mapping
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
    """Return the checks that do not depend on the verdict."""
    pools = facts.pools
    environment = facts.comparison.environment
    prefetch = str(environment.get("prefetch") or "")
    return [
        fairness.complete(_by_pool(facts, lambda pool: missing_rounds(facts, pool)), _by_pool(facts, _void_reasons)),
        fairness.code(_by_pool(facts, lambda pool: _software(pool, str(environment.get("code") or "")))),
        fairness.machine(_by_pool(facts, _machines), _by_pool(facts, _cores)),
        fairness.parameters(_by_pool(facts, lambda pool: _parameters(facts, pool))),
        fairness.prefetch(_by_pool(facts, lambda pool: _prefetches(pool) or {prefetch})),
        fairness.alone(_by_pool(facts, _foreign_in_pool), _by_pool(facts, _foreign_elsewhere)),
        fairness.other_load(_by_pool(facts, _other_load), facts.cores),
        fairness.failures(_by_pool(facts, _failures)),
        measured.concurrency(_by_pool(facts, lambda pool: [load(facts, pool, one) for one in pool.counted]), _slots(facts)),
        fairness.clocks(_by_pool(facts, _reversed), sum(len(pool.runs) for pool in pools.values())),
        measured.stalls(_by_pool(facts, stall_of), _by_pool(facts, lambda pool: pool.makespan_s)),
        fairness.patched([p for p, pool in pools.items() if any(one.probe.is_unpatched for one in pool.counted)]),
    ]  # fmt: skip


def _by_pool(facts: Facts, ask: Any) -> dict[str, Any]:
    return {name: ask(pool) for name, pool in facts.pools.items()}


def missing_rounds(facts: Facts, pool: VariantRuns) -> list[int]:
    """Return the rounds of which the pool has no batch that ended."""
    done = {one.batch.round for one in pool.counted if one.makespan_s is not None}
    return [number for number in range(1, facts.comparison.rounds + 1) if number not in done]


def _void_reasons(pool: VariantRuns) -> list[str]:
    return [one.batch.void_reason for one in pool.batches if one.batch.void_reason]


def _software(pool: VariantRuns, code: str) -> set[str]:
    seen = {text for one in pool.counted for text in one.probe.software}
    return seen or {code}


def _machines(pool: VariantRuns) -> dict[str, str]:
    """Return a host's name on each machine: as the workers say, else the part of their names after the @."""
    reported = {key: host for one in pool.counted for key, host in one.probe.machines.items()}
    named = {run.worker.rpartition("@")[2] for run in pool.runs if run.worker}
    return reported or {host: host for host in named}


def _cores(pool: VariantRuns) -> set[str]:
    return {f"{count:g}" for one in pool.counted for count in one.probe.cores}


def _parameters(facts: Facts, pool: VariantRuns) -> set[str]:
    """Return the parameters of each batch as JSON, without those that are compared."""
    params, compared = facts.comparison.params, facts.comparison.vary or {}
    whole = [{**params, **(one.batch.params or {})} for one in pool.counted]
    return {json.dumps({k: v for k, v in one.items() if k not in compared}, sort_keys=True) for one in whole}


def _prefetches(pool: VariantRuns) -> set[str]:
    return {text for one in pool.counted for text in one.probe.prefetches}


def _foreign_in_pool(pool: VariantRuns) -> int:
    return sum(one.probe.foreign_in_pool for one in pool.counted)


def _foreign_elsewhere(pool: VariantRuns) -> int:
    return sum(one.probe.foreign_elsewhere for one in pool.counted)


def _other_load(pool: VariantRuns) -> float | None:
    return quantile([one.probe.other_load for one in pool.counted], 0.5)


def _failures(pool: VariantRuns) -> tuple[int, int]:
    runs = pool.runs
    return len(runs), sum(run.state != JobState.SUCCEEDED for run in runs)


def _slots(facts: Facts) -> dict[str, tuple[int, int]]:
    found = {}
    for name, pool in facts.pools.items():
        if pool.counted:
            wanted = pool.counted[-1].batch.wanted_slots
            declared = wanted or settings.JOB_POOLS.get(pool.pool, {}).get("concurrency") or pool.slots
            found[name] = (pool.slots, int(declared))
    return found


def _reversed(pool: VariantRuns) -> list[float]:
    return [by_s for run in pool.runs if (by_s := reversed_by_s(run)) > 0]


def reversed_by_s(run: Run) -> float:
    """Return by how many seconds a job's stamps are out of order; 0 of a retried one, whose stamps are of two."""
    stamps = (run.first_published_at, run.received_at, run.started_at, run.finished_at)
    known = [stamp for stamp in stamps if stamp is not None]
    if run.attempt > 1:
        return 0.0
    return max((max(0.0, (a - b).total_seconds()) for a, b in pairwise(known)), default=0.0)


def load(facts: Facts, pool: VariantRuns, found: MeasuredBatch) -> Load:
    """Return what the rule about slots needs of a batch."""
    achieved = statistics.achieved_concurrency(found.intervals())
    comparison = facts.comparison
    return Load(
        model=pool.model,
        slots=found.slots,
        jobs=len(found.runs),
        cores=facts.cores,
        peak=achieved.peak,
        mean=achieved.mean,
        run_s=_median(run.run_s for run in found.runs),
        cpu_s=_median(run.cpu_s for run in found.runs),
        run_queue_s=_median(run.run_queue_s for run in found.runs),
        overhead_s=pool.overhead_s,
        in_flight=comparison.in_flight,
        rate_per_s=comparison.arrival_rate_per_s,
        starts_s=sorted(start for start, _ in found.intervals()),
    )


def _median(values: Iterable[float | None]) -> float:
    return quantile(values, 0.5) or 0.0


def spreads(facts: Facts) -> Mapping[str, float | None]:
    """Return the relative spread of each pool's time per job over its rounds; None of fewer than two rounds."""
    return _by_pool(facts, lambda pool: statistics.spread(span_s or None for span_s in pool.makespans_s))
