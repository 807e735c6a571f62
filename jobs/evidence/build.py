"""Build the evidence of a comparison and freeze it."""

from datetime import datetime
from typing import Any

import structlog

from jobs.evidence import advice, badges, facts, gate, hazard, verdict
from jobs.evidence.effects import spread
from jobs.evidence.pools import pool_figures
from jobs.evidence.sweep import sweep
from jobs.models import Comparison
from jobs.reports import first_published

log = structlog.get_logger(__name__)
VERSION = 1

Evidence = dict[str, Any]


def build(comparison: Comparison) -> Evidence:
    """Return a comparison as evidence, ready for JSON; docs/evidence.md has its shape. It may still run."""
    found = facts.read(comparison)
    verdicts = verdict.Verdicts(found)
    shown = [*gate.badges(found), spread(gate.spreads(found), verdicts.ratios, found.baseline)]
    verdicts.withhold(shown)
    evidence: Evidence = {
        "version": VERSION,
        "sentence": verdicts.sentence(),
        "metric": verdict.metric(found),
        "baseline": found.baseline,
        "vary": comparison.vary,
        "verdicts": {pool: verdict.as_dict(one) for pool, one in verdicts.against.items()},
        "pairs": verdict.pair_list(verdicts.pairs),
        "pools": [pool_figures(found, pool) for pool in found.pools.values()],
        "gate": badges.gate(shown),
        "environment": comparison.environment,
        "sweep": sweep(found),
    }
    # Other parameters are other jobs: which pool fits is no question of theirs.
    advised = None if comparison.vary else advice.advise(evidence, found.cores)
    evidence |= {"advice": advised.as_dict() if advised else None}
    return {**evidence, **hazard.told(comparison)}


def freeze(comparison: Comparison) -> Evidence:
    """Build the evidence of a comparison that has ended and store it."""
    comparison.evidence = build(comparison)
    comparison.save(update_fields=["evidence"])
    log.info("evidence frozen", comparison=str(comparison.pk), sentence=comparison.evidence["sentence"])
    return comparison.evidence


def samples(comparison: Comparison) -> list[dict[str, Any]]:
    """Return the jobs of the blocks that are not void, in the order of blocks; stamps are aware datetimes.

    Those of an imported comparison come from its bundle.
    """
    if comparison.imported_at is not None:
        return imported_samples(comparison)
    found = facts.read(comparison)
    rows = []
    for pool in found.pools.values():
        for one in pool.blocks:
            if one.block.void_reason:
                continue
            rows += [_sample(one, run) for run in one.runs]
    return rows


SAMPLE_COLUMNS = (
    "pool", "round", "role", "slots", "state", "broker_wait_s", "worker_wait_s", "run_s", "cpu_s", "run_queue_s",
    "gil_wait_s", "blocked_s", "stall_s", "published_at", "started_at", "finished_at",
)  # fmt: skip
#: Where a block that a bundle brought keeps its jobs, in `probe`.
IMPORTED_SAMPLES = "samples"
STAMPS = ("published_at", "started_at", "finished_at")


def _sample(one: facts.Measured, run: Any) -> dict[str, Any]:
    block = one.block
    return {
        "pool": block.arm,
        "round": block.round,
        "role": str(block.role),
        "slots": one.slots,
        **{column: getattr(run, column) for column in SAMPLE_COLUMNS[4:]},
        "published_at": first_published(run),
    }


def imported_samples(comparison: Comparison) -> list[dict[str, Any]]:
    """Return the samples that a bundle brought: rows of SAMPLE_COLUMNS with stamps in ISO 8601, kept by block."""
    found = []
    for probe in comparison.blocks.order_by("position").values_list("probe", flat=True):
        for row in probe.get(IMPORTED_SAMPLES, []):
            sample = dict(zip(SAMPLE_COLUMNS, row, strict=True))
            stamps = {name: sample[name] and datetime.fromisoformat(sample[name]) for name in STAMPS}
            found.append(sample | stamps)
    return found
