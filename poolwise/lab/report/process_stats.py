"""Read `Batch.probe`: the pool's processes at the release and the end of a batch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

type Worker = Mapping[str, Any]
#: Entries of a worker's `versions` that are not versions of software.
_NO_SOFTWARE = ("cores", "prefetch")


@dataclass(frozen=True, slots=True)
class Probe:
    """A pool's processes during a batch; None: not recorded."""

    machines: Mapping[str, str]
    """Host name by machine; older workers report the host name alone."""
    cores: frozenset[float]
    """How many cores each worker could use."""
    software: frozenset[str]
    prefetches: frozenset[str]
    is_unpatched: bool
    cpu_s: float | None
    peak_memory_bytes: int | None
    db_connections: int | None
    others_slot_s: float
    """Slot seconds of the pool that jobs outside the batch held."""
    others_cpu_s: float
    """CPU seconds that jobs outside the batch used."""
    other_load: float | None
    """Cores that other programs used on average, Redis and the coordinator included."""


def read(probe: Mapping[str, Any]) -> Probe:
    """Return the measurements of a batch; what was not recorded is None."""
    before, after = (probe.get(moment, {}).get("workers", ()) for moment in ("release", "end"))
    both, watched, others = [*before, *after], probe.get("watched", {}), probe.get("others", {})
    cpu_s = _cpu_s(before, after)
    return Probe(
        machines={str(worker.get("machine") or worker["host"]): str(worker["host"]) for worker in both},
        cores=frozenset(count for text in _reported(both, "cores") if (count := _number(text)) is not None),
        software=frozenset(text for worker in both if (text := _software(worker))),
        prefetches=frozenset(_reported(both, "prefetch")),
        is_unpatched=any(worker.get("is_patched") is False for worker in both),
        cpu_s=cpu_s,
        peak_memory_bytes=_peak(before, after, watched),
        db_connections=_largest(_totals(before, after, "db_connections"), watched.get("db_connections")),
        others_slot_s=others.get("slot_s", 0.0),
        others_cpu_s=others.get("cpu_s", 0.0),
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
    # The peak of a worker is of its whole life: it is the peak of this batch only if it rose during the batch.
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
    """Return the CPU seconds of the processes during the batch; None if one was replaced."""
    first = {(worker.get("name"), worker.get("pid")): worker.get("cpu_s") for worker in before}
    last = {(worker.get("name"), worker.get("pid")): worker.get("cpu_s") for worker in after}
    if not first or first.keys() != last.keys() or None in (*first.values(), *last.values()):
        return None
    return max(0.0, sum(float(last[name] or 0) - float(first[name] or 0) for name in first))
