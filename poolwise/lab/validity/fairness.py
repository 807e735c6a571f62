"""Validity checks: whether all pools ran under the same conditions. Pure functions."""

from collections.abc import Collection, Mapping

from poolwise.lab.report.model import ValidityCheck
from poolwise.lab.validity.checks import failed, passed
from poolwise.support import percent

#: Observed values, by pool.
type Observed = Mapping[str, Collection[str]]

#: Stamps may be out of order by this much, which is their resolution.
CLOCK_TOLERANCE_S = 0.001
#: The largest share of failed jobs with which the figures are still valid.
MAX_FAILED_SHARE = 0.01
#: The largest share of the cores that Redis, the coordinator and the database may use.
MAX_OTHER_LOAD = 0.5
#: The largest share of a pool's slots, or of the cores, that other jobs may take.
MAX_TAKEN = 0.05


def _listed(values: Collection[str]) -> str:
    shown = sorted(values)
    return ", ".join(shown[:4]) + (f" and {len(shown) - 4} more" if len(shown) > 4 else "")


def _all(observed: Observed) -> set[str]:
    return {value for values in observed.values() for value in values if value}


def code(observed: Observed) -> ValidityCheck:
    """Check the versions of the code that each pool's workers ran."""
    versions = _all(observed)
    if not versions:
        return failed("code", "The version of the workers' code was not recorded.", matters=False)
    if len(versions) > 1:
        return failed("code", f"The workers ran different versions of the code: {_listed(versions)}.")
    return passed("code")


def machine(hosts: Mapping[str, Mapping[str, str]], cores: Observed) -> ValidityCheck:
    """Check the machines of each pool (host name by machine), and the cores that it could use."""
    names = {key: host for machines in hosts.values() for key, host in machines.items()}
    if not names:
        return failed("machine", "The machines of the workers were not recorded.", matters=False)
    if len({frozenset(machines) for machines in hosts.values() if machines}) > 1:
        return failed("machine", f"The pools ran on different machines: {_listed(set(names.values()))}.")
    if len({frozenset(counts) for counts in cores.values() if counts}) > 1:
        counted = ", ".join(
            f"{pool} {' and '.join(sorted(counts))}" for pool, counts in sorted(cores.items()) if counts
        )
        return failed("machine", f"The pools could use different numbers of cores: {counted}.")
    return passed("machine")


def parameters(observed: Observed) -> ValidityCheck:
    """Check the parameters, as JSON, that each pool's jobs had."""
    sets = {frozenset(values) for values in observed.values() if values}
    if len(sets) > 1:
        return failed("parameters", "The pools ran jobs with different parameters.")
    return passed("parameters")


def prefetch(observed: Observed) -> ValidityCheck:
    """Check the prefetch multipliers of the workers."""
    multipliers = _all(observed)
    if not multipliers:
        return failed("prefetch", "The workers' prefetch setting was not recorded.", matters=False)
    if len(multipliers) > 1:
        return failed("prefetch", f"The workers prefetch differently: multipliers {_listed(multipliers)}.")
    return passed("prefetch")


def alone(of_slots: Mapping[str, float], of_cores: Mapping[str, float]) -> ValidityCheck:
    """Check the share of each pool's slots, and of the cores, that jobs of others took during its batches."""
    parts = [
        f"{pool} ({', '.join(taken)})"
        for pool in sorted({*of_slots, *of_cores})
        if (taken := _taken(of_slots.get(pool, 0.0), of_cores.get(pool, 0.0)))
    ]
    affected = [part.partition(" (")[0] for part in parts]
    if not affected:
        return passed("alone")
    return failed("alone", f"Other jobs took slots or CPU from {', '.join(parts)}.", affected)


def _taken(of_slots: float, of_cores: float) -> list[str]:
    slots = [f"{percent(of_slots)} of its slots"] * (of_slots > MAX_TAKEN)
    return slots + [f"{percent(of_cores)} of the cores"] * (of_cores > MAX_TAKEN)


def other_load(busy_cores: Mapping[str, float | None], cores: int) -> ValidityCheck:
    """Check how many cores other programs used during each pool's batches; a warning: they may be Poolwise's own."""
    busy_pools = {
        p: busy for p, busy in busy_cores.items() if busy is not None and busy > MAX_OTHER_LOAD * cores
    }
    if not busy_pools:
        return passed("other_load")
    shown = ", ".join(f"{busy:.1f} of {cores} cores while {pool} ran" for pool, busy in busy_pools.items())
    return failed("other_load", f"Other programs used {shown}.", busy_pools, matters=False)


def failures(counts: Mapping[str, tuple[int, int]]) -> ValidityCheck:
    """Check (jobs, jobs that did not succeed) by pool: jobs that fail early would make a pool look fast."""
    failing = {pool: (lost, jobs) for pool, (jobs, lost) in counts.items() if lost}
    if not failing:
        return passed("failures")
    too_many = [pool for pool, (lost, jobs) in failing.items() if lost / jobs > MAX_FAILED_SHARE]
    shown = ", ".join(f"{lost} of {jobs} on {pool}" for pool, (lost, jobs) in failing.items())
    return failed("failures", f"Jobs did not succeed: {shown}.", too_many or failing, matters=bool(too_many))


def clocks(reversed_by_s: Mapping[str, Collection[float]], total: int) -> ValidityCheck:
    """Check by how many seconds stamps are out of order, by pool, among `total` jobs."""
    worst = max((s for values in reversed_by_s.values() for s in values), default=0.0)
    if worst <= CLOCK_TOLERANCE_S:
        return passed("clocks")
    pools = [p for p, values in reversed_by_s.items() if max(values, default=0.0) > CLOCK_TOLERANCE_S]
    count = sum(len(values) for values in reversed_by_s.values())
    text = f"The stamps of {count} of {total} jobs are out of order, by up to {worst * 1000:.0f} ms: clocks differ."
    return failed("clocks", text, pools)


def complete(missing: Mapping[str, Collection[int]], void: Mapping[str, Collection[str]]) -> ValidityCheck:
    """Check the missing rounds of each pool, and the reasons of batches that were void and repeated."""
    incomplete = {pool: rounds for pool, rounds in missing.items() if rounds}
    if incomplete:
        shown = ", ".join(
            f"{pool} lacks round {_listed([str(n) for n in ns])}" for pool, ns in incomplete.items()
        )
        return failed("complete", f"Batches are missing: {shown}.", incomplete)
    repeated = {pool: reasons for pool, reasons in void.items() if reasons}
    if repeated:
        count = sum(len(reasons) for reasons in repeated.values())
        why = _listed(_all(repeated))
        batches = "A batch was" if count == 1 else f"{count} batches were"
        return failed("complete", f"{batches} void and repeated: {why}", repeated, matters=False)
    return passed("complete")


def patched(unpatched: Collection[str]) -> ValidityCheck:
    """Check the gevent pools whose standard library is not patched: their waits block every job."""
    if unpatched:
        text = f"The standard library is not patched in {_listed(unpatched)}: every wait blocks all jobs of the worker."
        return failed("patched", text, unpatched)
    return passed("patched")
