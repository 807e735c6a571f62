"""The figures of each variant as a table, and the environment as lines."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.template.defaultfilters import filesizeformat

from poolwise.lab.report import VariantFigures
from poolwise.support import percent, seconds

_HEAD = ("Slots", "Jobs", "Failed", "Makespan", "Jobs/s", "Run p50", "Run p95", "Broker wait p50", "Worker wait p50",
         "CPU share", "Overhead", "Peak memory")  # fmt: skip
_LABELS = {
    "cpu_quota": "CPU quota", "cpu_model": "Processor", "memory_bytes": "Memory", "os": "System", "gil": "GIL",
    "database": "Database", "code": "Code version", "libraries": "Libraries", "versions": "Libraries",
}  # fmt: skip
_BYTES = "_bytes"


def figures_table(pools: Sequence[VariantFigures], vary: object = None) -> dict[str, Any]:
    """Return the figures of each pool, or of each variant where parameters vary, as a table."""
    return {"head": ["Variant" if vary else "Pool", *_HEAD], "rows": [_row(pool) for pool in pools]}


def _row(pool: VariantFigures) -> list[str]:
    memory = pool.peak_memory_bytes
    return [
        pool.name, str(pool.slots or "–"), f"{pool.jobs:,}", f"{pool.failed:,}", seconds(pool.makespan_s),
        "–" if pool.jobs_per_s is None else f"{pool.jobs_per_s:.1f}", seconds(pool.run_s.p50), seconds(pool.run_s.p95),
        seconds(pool.broker_wait_s.p50), seconds(pool.worker_wait_s.p50), percent(pool.cpu_share),
        seconds(pool.overhead_s), filesizeformat(memory) if memory else "–",
    ]  # fmt: skip


def environment_lines(card: Mapping[str, Any]) -> list[tuple[str, str]]:
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
