"""What a comparison's evidence says, as its page tells it."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.template.defaultfilters import filesizeformat

from jobs import comparison_charts, evidence
from jobs.comparison_charts.ratios import times
from jobs.evidence import BatchFigures, Evidence, VariantFigures
from jobs.evidence.effects import MIN_STALL_S
from jobs.formats import percent, seconds
from jobs.models import Comparison
from jobs.verdicts import CANNOT_TELL

_LABELS = {
    "cpu_quota": "CPU quota", "cpu_model": "Processor", "memory_bytes": "Memory", "os": "System", "gil": "GIL",
    "ledger": "Database", "code": "Code version", "libraries": "Libraries", "versions": "Libraries",
}  # fmt: skip
_BYTES = "_bytes"


def context_of(comparison: Comparison) -> dict[str, Any]:
    """Return what the page of an ended comparison shows; of one without evidence the raw figures alone."""
    found = evidence.load(comparison)
    if found is None:
        return {"table": raw_table(evidence.figures(comparison), comparison.vary)}
    return {
        "evidence": found,
        "gate": gate_of(found),
        "charts": comparison_charts.charts(found, evidence.samples(comparison)),
        "environment": environment_of(found.environment or comparison.environment),
        "table": raw_table(found.pools, comparison.vary),
        "blocks": block_table(found.pools, comparison.vary),
        "culprits": culprits_of(comparison, found),
        "words": words_of(found),
        "lesson": found.lesson or evidence.told(comparison)[0],
    }


def gate_of(found: Evidence) -> dict[str, Any]:
    """Return the badges, those that failed first, and why a verdict is withheld."""
    badges = sorted(found.gate.badges, key=lambda badge: (badge.passed, not badge.matters))
    return {
        "badges": badges,
        "passed": sum(badge.passed for badge in badges),
        "all_withheld": all(verdict.word == CANNOT_TELL for verdict in found.verdicts.values()),
        "withheld": [badge.reason for badge in badges if badge.withholds],
    }


def culprits_of(comparison: Comparison, found: Evidence) -> list[dict[str, Any]]:
    """Return the jobs that stalled their pool's hub or loop the longest; those of a bundle are not here to be shown."""
    if comparison.imported_at is not None:
        return []
    stalls = [(pool.name, pool.stall) for pool in found.pools if pool.stall]
    return [
        {"pool": name, "took": seconds(stall.max_s), "job": stall.caused_by}
        for name, stall in stalls
        if stall.caused_by and stall.max_s >= MIN_STALL_S
    ]


def words_of(found: Evidence) -> list[dict[str, Any]]:
    """Return each pool's verdict against the baseline in a word, the fastest first."""
    verdicts = sorted(found.verdicts.items(), key=lambda entry: -(entry[1].ratio or 0.0))
    return [
        {
            "pool": pool,
            "word": verdict.word,
            "times": times(verdict.ratio),
            # The sentence above may say it already.
            "reason": "" if verdict.reason in found.sentence else verdict.reason,
        }
        for pool, verdict in verdicts
    ]


def raw_table(pools: Sequence[VariantFigures], vary: object = None) -> dict[str, Any]:
    """Return the figures of each pool, or of each variant where parameters vary, as a table."""
    head = [_arm(vary), "Slots", "Jobs", "Failed", "Makespan", "Jobs/s", "Run p50", "Run p95", "Broker wait p50",
            "Worker wait p50", "CPU share", "Overhead", "Peak memory"]  # fmt: skip
    return {"head": head, "rows": [_row(pool) for pool in pools]}


def _row(pool: VariantFigures) -> list[str]:
    memory = pool.peak_memory_bytes
    return [
        pool.name, str(pool.slots or "–"), f"{pool.jobs:,}", f"{pool.failed:,}", seconds(pool.makespan_s),
        _speed(pool.jobs_per_s), seconds(pool.run_s.p50), seconds(pool.run_s.p95), seconds(pool.broker_wait_s.p50),
        seconds(pool.worker_wait_s.p50), percent(pool.cpu_share), seconds(pool.overhead_s),
        filesizeformat(memory) if memory else "–",
    ]  # fmt: skip


def _speed(jobs_per_s: float | None) -> str:
    return "–" if jobs_per_s is None else f"{jobs_per_s:.1f}"


def _arm(vary: object) -> str:
    return "Variant" if vary else "Pool"


def block_table(pools: Sequence[VariantFigures], vary: object = None) -> dict[str, Any]:
    """Return the figures of each block as a table."""
    head = [_arm(vary), "Block", "Makespan", "Ideal", "Efficiency", "Jobs/s", "Failed", "Peak at once", "Mean at once",
            "CPU of the pool", "Remark"]  # fmt: skip
    return {"head": head, "rows": [_block(pool.name, block) for pool in pools for block in pool.blocks]}


def _block(pool: str, block: BatchFigures) -> list[str]:
    name = f"round {block.round}" if block.role == "measured" else block.role
    return [
        pool, name, seconds(block.makespan_s), seconds(block.ideal_makespan_s), percent(block.efficiency),
        _speed(block.jobs_per_s), f"{block.failed:,}", str(block.concurrency.peak), f"{block.concurrency.mean:.1f}",
        seconds(block.cpu_s_pool), block.void_reason,
    ]  # fmt: skip


def environment_of(card: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the environment card as lines of a label and a value."""
    return [
        (_label(key), _value(key, value)) for key, value in card.items() if value not in (None, "", {}, [])
    ]


def _label(key: str) -> str:
    return _LABELS.get(key) or key.removesuffix(_BYTES).replace("_", " ").capitalize()


def _value(key: str, value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, int) and key.endswith(_BYTES):
        return str(filesizeformat(value))
    if isinstance(value, Mapping) and set(value) == {"kind", "version"}:
        return f"{value['kind']} {value['version'] or ''}".strip()
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_value(name, part)}" for name, part in value.items() if part is not None)
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
