"""What `Block.probe` says of the pool's processes at the block's release and end."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

type Worker = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Probe:
    """A pool's processes over one block; None is what nobody recorded."""

    machines: Mapping[str, str] = field(default_factory=dict)
    """The name of a host on each machine; of an older worker the host is all that tells the machine."""
    cores: frozenset[float] = frozenset()
    """How many cores each worker could use."""
    software: frozenset[str] = frozenset()
    prefetches: frozenset[str] = frozenset()
    is_unpatched: bool = False
    cpu_s: float | None = None
    peak_memory_bytes: int | None = None
    db_connections: int | None = None
    foreign_in_pool: int | None = None
    foreign_elsewhere: int | None = None
    other_load: float | None = None
    """The cores that other programs of the machine kept busy on average, Redis and the coordinator included."""


def read(probe: Mapping[str, Any]) -> Probe:
    """Return the probe of a block in figures; what it does not hold is None."""
    before, after = _workers(probe.get("release")), _workers(probe.get("end"))
    both = [*before, *after]
    watched, foreign = _mapping(probe.get("watched")), _mapping(probe.get("foreign"))
    return Probe(
        machines={
            str(one.get("machine") or one["host"]): str(one["host"]) for one in both if one.get("host")
        },
        cores=frozenset(count for worker in both if (count := _cores(worker)) is not None),
        software=frozenset(text for worker in both if (text := _software(worker))),
        prefetches=_words(both, "prefetch"),
        is_unpatched=any(worker.get("is_patched") is False for worker in both),
        cpu_s=_cpu_s(before, after),
        peak_memory_bytes=_peak(before, after, watched),
        db_connections=_largest(_totals(before, after, "db_connections"), watched.get("db_connections")),
        foreign_in_pool=foreign.get("pool"),
        foreign_elsewhere=foreign.get("others"),
        other_load=_other_load(probe, _cpu_s(before, after)),
    )


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _workers(moment: Any) -> list[Worker]:
    found = moment.get("workers") if isinstance(moment, Mapping) else moment
    return [worker for worker in found if isinstance(worker, Mapping)] if isinstance(found, Sequence) else []


def _words(workers: Sequence[Worker], name: str) -> frozenset[str]:
    return frozenset(str(worker[name]) for worker in workers if worker.get(name) not in (None, ""))


def _cores(worker: Worker) -> float | None:
    try:
        return float(_mapping(worker.get("versions"))["cores"])
    except (KeyError, ValueError):  # imported from elsewhere, perhaps
        return None


def _software(worker: Worker) -> str:
    told = sorted(_mapping(worker.get("versions")).items())
    return ", ".join(f"{name} {text}" for name, text in told if name != "cores")


def _totals(before: Sequence[Worker], after: Sequence[Worker], field: str) -> list[int]:
    """Return the sum over the workers at each of the two moments, where all of them told."""
    moments = [[worker.get(field) for worker in moment] for moment in (before, after) if moment]
    return [int(sum(values)) for values in moments if None not in values]  # type: ignore[arg-type]


def _largest(totals: Sequence[int], watched: Any = None) -> int | None:
    return max([*totals, *([int(watched)] if watched else [])], default=None)


def _peak(before: Sequence[Worker], after: Sequence[Worker], watched: Mapping[str, Any]) -> int | None:
    # A worker's own peak is of its whole life: it speaks of this block only where the block raised it.
    peaks = _totals(before, after, "peak_memory_bytes")
    if len(peaks) == 2 and peaks[1] > peaks[0]:
        return peaks[1]
    return _largest(_totals(before, after, "memory_bytes"), watched.get("memory_bytes"))


def _other_load(probe: Mapping[str, Any], pool_cpu_s: float | None) -> float | None:
    start, end = _mapping(probe.get("release")), _mapping(probe.get("busy"))
    moments = [moment.get(field) for moment in (start, end) for field in ("at", "machine_cpu_s")]
    if pool_cpu_s is None or None in moments:
        return None
    elapsed_s = float(moments[2] or 0) - float(moments[0] or 0)
    machine_s = float(moments[3] or 0) - float(moments[1] or 0)
    return max(0.0, machine_s - pool_cpu_s) / elapsed_s if elapsed_s > 0 else None


def _cpu_s(before: Sequence[Worker], after: Sequence[Worker]) -> float | None:
    """Return the CPU seconds that the same processes spent in between; None when one was replaced."""
    first = {(worker.get("name"), worker.get("pid")): worker.get("cpu_s") for worker in before}
    last = {(worker.get("name"), worker.get("pid")): worker.get("cpu_s") for worker in after}
    if not first or first.keys() != last.keys() or None in (*first.values(), *last.values()):
        return None
    return max(0.0, sum(float(last[name] or 0) - float(first[name] or 0) for name in first))
