"""What a comparison's evidence says, as its page tells it."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.template.defaultfilters import filesizeformat

from jobs import comparison_charts, evidence, reports
from jobs.comparison_charts.ratios import times
from jobs.evidence.effects import MIN_STALL_S
from jobs.formats import percent, seconds
from jobs.models import Comparison
from jobs.verdicts import CANNOT_TELL

Evidence = Mapping[str, Any]
_LABELS = {
    "cpu_quota": "CPU quota", "cpu_model": "Processor", "memory_bytes": "Memory", "os": "System", "gil": "GIL",
    "ledger": "Database", "code": "Code version", "libraries": "Libraries", "versions": "Libraries",
}  # fmt: skip
_BYTES = "_bytes"


def samples_of(comparison: Comparison) -> list[dict[str, Any]]:
    """Return the jobs behind the evidence, each with its durations."""
    return evidence.samples(comparison)


def context_of(comparison: Comparison) -> dict[str, Any]:
    """Return what the page of an ended comparison shows; of one without evidence the raw figures alone."""
    found = comparison.evidence
    if not found:
        return {"table": raw_table(reports.comparison_figures(comparison)["pools"], comparison.vary)}
    return {
        "evidence": found,
        "gate": gate_of(found),
        "charts": comparison_charts.charts(found, samples_of(comparison)),
        "environment": environment_of(found.get("environment") or comparison.environment),
        "table": raw_table(found.get("pools", []), comparison.vary),
        "blocks": block_table(found.get("pools", []), comparison.vary),
        "culprits": culprits_of(comparison, found),
        "words": words_of(found),
        "lesson": found.get("lesson") or evidence.told(comparison)["lesson"],
    }


def gate_of(found: Evidence) -> dict[str, Any]:
    """Return the badges, those that failed first, and why a verdict is withheld."""
    gate = found.get("gate") or {"valid": True, "badges": []}
    words = {verdict["word"] for verdict in found.get("verdicts", {}).values()}
    badges = sorted(gate["badges"], key=lambda badge: (badge["passed"], not badge["matters"]))
    failed = [badge for badge in badges if not badge["passed"]]
    return {
        "valid": gate["valid"],
        "badges": badges,
        "passed": len(badges) - len(failed),
        "all_withheld": words <= {CANNOT_TELL},
        "withheld": [badge["reason"] for badge in failed if badge["matters"]],
    }


def culprits_of(comparison: Comparison, found: Evidence) -> list[dict[str, Any]]:
    """Return the jobs that stalled their pool's hub or loop the longest; those of a bundle are not here to be shown."""
    if comparison.imported_at is not None:
        return []
    stalls = {pool["name"]: pool.get("stall") or {} for pool in found.get("pools", ())}
    return [
        {"pool": name, "took": seconds(stall["max_s"]), "job": stall["caused_by"]}
        for name, stall in stalls.items()
        if stall.get("caused_by") and stall["max_s"] >= MIN_STALL_S
    ]


def words_of(found: Evidence) -> list[dict[str, Any]]:
    """Return each pool's verdict against the baseline in a word, the fastest first."""
    verdicts = found.get("verdicts", {})
    words = []
    for pool, verdict in verdicts.items():
        reason = verdict.get("reason") or ""
        shown = "" if reason in found["sentence"] else reason  # the sentence above says it already
        words.append({**verdict, "pool": pool, "times": times(verdict.get("ratio")), "reason": shown})
    return sorted(words, key=lambda verdict: -(verdict.get("ratio") or 0.0))


def raw_table(pools: Sequence[Mapping[str, Any]], vary: object = None) -> dict[str, Any]:
    """Return the figures of each pool, or of each variant where parameters vary, as a table."""
    head = [_arm(vary), "Slots", "Jobs", "Failed", "Makespan", "Jobs/s", "Run p50", "Run p95", "Broker wait p50",
            "Worker wait p50", "CPU share", "Overhead", "Peak memory"]  # fmt: skip
    return {"head": head, "rows": [_row(pool) for pool in pools]}


def _row(pool: Mapping[str, Any]) -> list[str]:
    spread = {key: pool.get(key) or {} for key in ("run_s", "broker_wait_s", "worker_wait_s", "cpu_s")}
    blocks = [
        block
        for block in pool.get("blocks") or ()
        if block.get("jobs_per_s") and not block.get("void_reason")
    ]
    speeds = sorted(block["jobs_per_s"] for block in blocks if block.get("role") == "measured")
    memory = max((block.get("peak_memory_bytes") or 0 for block in pool.get("blocks") or ()), default=0)
    return [
        pool["name"], str(pool.get("slots") or "–"), f"{pool['jobs']:,}", f"{pool['failed']:,}",
        seconds(pool.get("makespan_s")), f"{speeds[len(speeds) // 2]:.1f}" if speeds else "–",
        seconds(spread["run_s"].get("p50")), seconds(spread["run_s"].get("p95")),
        seconds(spread["broker_wait_s"].get("p50")), seconds(spread["worker_wait_s"].get("p50")),
        percent(pool.get("cpu_share")), seconds(pool.get("overhead_s")),
        filesizeformat(memory) if memory else "–",
    ]  # fmt: skip


def _arm(vary: object) -> str:
    return "Variant" if vary else "Pool"


def block_table(pools: Sequence[Mapping[str, Any]], vary: object = None) -> dict[str, Any]:
    """Return the figures of each block as a table."""
    head = [_arm(vary), "Block", "Makespan", "Ideal", "Efficiency", "Jobs/s", "Failed", "Peak at once", "Mean at once",
            "CPU of the pool", "Remark"]  # fmt: skip
    return {
        "head": head,
        "rows": [_block(pool["name"], b) for pool in pools for b in pool.get("blocks") or ()],
    }


def _block(pool: str, block: Mapping[str, Any]) -> list[str]:
    speed, at_once = block.get("jobs_per_s"), block.get("concurrency") or {}
    name = f"round {block['round']}" if block.get("role") == "measured" else str(block.get("role", ""))
    return [
        pool, name, seconds(block.get("makespan_s")), seconds(block.get("ideal_makespan_s")),
        percent(block.get("efficiency")), "–" if speed is None else f"{speed:.1f}", f"{block.get('failed') or 0:,}",
        "–" if at_once.get("peak") is None else f"{at_once['peak']:g}",
        "–" if at_once.get("mean") is None else f"{at_once['mean']:.1f}",
        seconds(block.get("cpu_s_pool")), block.get("void_reason") or "",
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
