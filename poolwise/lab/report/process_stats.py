"""What `Batch.probe` says of the pool's processes at the batch's release and end."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

type Worker = Mapping[str, Any]
#: What a worker tells beside the versions of its software.
_NO_SOFTWARE = ("cores", "prefetch")


@dataclass(frozen=True, slots=True)
class Probe:
    """A pool's processes over one batch; None is what nobody recorded."""

    machines: Mapping[str, str]
    """The name of a host on each machine; of an older worker the host is all that tells the machine."""
    cores: frozenset[float]
    """How many cores each worker could use."""
    software: frozenset[str]
    prefetches: frozenset[str]
    is_unpatched: bool
    cpu_s: float | None
    peak_memory_bytes: int | None
    db_connections: int | None
    foreign_in_pool: int
    foreign_elsewhere: int
    other_load: float | None
    """The cores that other programs of the machine kept busy on average, Redis and the coordinator included."""


def read(probe: Mapping[str, Any]) -> Probe:
    """Return the probe of a batch in figures; what it does not hold is None."""
    before, after = (probe.get(moment, {}).get("workers", ()) for moment in ("release", "end"))
    both, watched, foreign = [*before, *after], probe.get("watched", {}), probe.get("foreign", {})
    cpu_s = _cpu_s(before, after)
    return Probe(
        machines={str(one.get("machine") or one["host"]): str(one["host"]) for one in both},
        cores=frozenset(count for text in _reported(both, "cores") if (count := _number(text)) is not None),
        software=frozenset(text for worker in both if (text := _software(worker))),
        prefetches=frozenset(_reported(both, "prefetch")),
        is_unpatched=any(worker.get("is_patched") is False for worker in both),
        cpu_s=cpu_s,
        peak_memory_bytes=_peak(before, after, watched),
        db_connections=_largest(_totals(before, after, "db_connections"), watched.get("db_connections")),
        foreign_in_pool=foreign.get("pool", 0),
        foreign_elsewhere=foreign.get("others", 0),
        other_load=_other_load(probe, cpu_s),
    )


def _reported(workers: Sequence[Worker], name: str) -> set[str]:
    return {worker["versions"][name] for worker in workers if name in worker["versions"]}


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _software(worker: Worker) -> str:
    versions = sorted(worker["versions"].items())
    return ", ".join(f"{name} {text}" for name, text in versions if name not in _NO_SOFTWARE)


def _totals(before: Sequence[Worker], after: Sequence[Worker], field: str) -> list[int]:
    """Return the sum over the workers at each of the two moments, where all of them reported it."""
    moments = [[worker.get(field) for worker in moment] for moment in (before, after) if moment]
    return [int(sum(values)) for values in moments if None not in values]  # type: ignore[arg-type]


def _largest(totals: Sequence[int], watched: Any = None) -> int | None:
    return max([*totals, *([int(watched)] if watched else [])], default=None)


def _peak(before: Sequence[Worker], after: Sequence[Worker], watched: Mapping[str, Any]) -> int | None:
    # A worker's own peak is of its whole life: it speaks of this batch only where the batch raised it.
    peaks = _totals(before, after, "peak_memory_bytes")
    if len(peaks) == 2 and peaks[1] > peaks[0]:
        return peaks[1]
    return _largest(_totals(before, after, "memory_bytes"), watched.get("memory_bytes"))


def _other_load(probe: Mapping[str, Any], pool_cpu_s: float | None) -> float | None:
    start, end = probe.get("release"), probe.get("busy")
    if pool_cpu_s is None or not start or not end:
        return None
    elapsed_s, machine_s = end["at"] - start["at"], end["machine_cpu_s"] - start["machine_cpu_s"]
    return max(0.0, machine_s - pool_cpu_s) / elapsed_s if elapsed_s > 0 else None


def _cpu_s(before: Sequence[Worker], after: Sequence[Worker]) -> float | None:
    """Return the CPU seconds that the same processes spent in between; None when one was replaced."""
    first = {(worker.get("name"), worker.get("pid")): worker.get("cpu_s") for worker in before}
    last = {(worker.get("name"), worker.get("pid")): worker.get("cpu_s") for worker in after}
    if not first or first.keys() != last.keys() or None in (*first.values(), *last.values()):
        return None
    return max(0.0, sum(float(last[name] or 0) - float(first[name] or 0) for name in first))
