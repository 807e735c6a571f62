"""The validity checks that ask whether all pools had the same chance. Pure functions."""

from collections.abc import Collection, Mapping

from poolwise.lab.report.model import ValidityCheck
from poolwise.lab.validity.checks import failed, passed

#: What was seen, by pool.
type Seen = Mapping[str, Collection[str]]

#: A clock that is set back by less is the resolution of the stamps.
CLOCK_TOLERANCE_S = 0.001
#: Up to this share of failed jobs the figures still speak of the others.
MAX_FAILED_SHARE = 0.01
#: Up to this share of the cores Redis, the coordinator and the database may take.
MAX_OTHER_LOAD = 0.5


def _listed(values: Collection[str]) -> str:
    shown = sorted(values)
    return ", ".join(shown[:4]) + (f" and {len(shown) - 4} more" if len(shown) > 4 else "")


def _all(seen: Seen) -> set[str]:
    return {value for values in seen.values() for value in values if value}


def code(seen: Seen) -> ValidityCheck:
    """Check the versions of the code that each pool's workers ran."""
    versions = _all(seen)
    if not versions:
        return failed("code", "The version of the workers' code was not recorded.", matters=False)
    if len(versions) > 1:
        return failed("code", f"The workers ran different versions of the code: {_listed(versions)}.")
    return passed("code")


def machine(hosts: Mapping[str, Mapping[str, str]], cores: Seen) -> ValidityCheck:
    """Check the machines that each pool ran on, given as a host's name by machine, and the cores that it could use."""
    names = {key: host for machines in hosts.values() for key, host in machines.items()}
    if not names:
        return failed("machine", "Which machine the jobs ran on was not recorded.", matters=False)
    if len({frozenset(machines) for machines in hosts.values() if machines}) > 1:
        return failed("machine", f"The pools ran on different machines: {_listed(set(names.values()))}.")
    if len({frozenset(counts) for counts in cores.values() if counts}) > 1:
        counted = ", ".join(
            f"{pool} {' and '.join(sorted(counts))}" for pool, counts in sorted(cores.items()) if counts
        )
        return failed("machine", f"The pools could use different numbers of cores: {counted}.")
    return passed("machine")


def parameters(seen: Seen) -> ValidityCheck:
    """Check the parameters, as JSON, that each pool's jobs had."""
    sets = {frozenset(values) for values in seen.values() if values}
    if len(sets) > 1:
        return failed("parameters", "Not every pool ran its jobs with the same parameters.")
    return passed("parameters")


def prefetch(seen: Seen) -> ValidityCheck:
    """Check the prefetch multipliers of the workers."""
    multipliers = _all(seen)
    if not multipliers:
        return failed("prefetch", "The workers' prefetch setting was not recorded.", matters=False)
    if len(multipliers) > 1:
        return failed("prefetch", f"The workers prefetch differently: multipliers {_listed(multipliers)}.")
    return passed("prefetch")


def alone(in_pool: Mapping[str, int], elsewhere: Mapping[str, int]) -> ValidityCheck:
    """Check how many other jobs ran during each pool's batches, in the pool or on the machine."""
    spoiled = sorted({pool for counts in (in_pool, elsewhere) for pool, n in counts.items() if n})
    if not spoiled:
        return passed("alone")
    parts = []
    for pool in spoiled:
        inside, outside = in_pool.get(pool, 0), elsewhere.get(pool, 0)
        where = [f"{inside} in the pool"] * bool(inside) + [f"{outside} on the machine"] * bool(outside)
        parts.append(f"{pool} ({', '.join(where)})")
    return failed("alone", f"Other jobs ran during the batches of {', '.join(parts)}.", spoiled)


def other_load(busy_cores: Mapping[str, float | None], cores: int) -> ValidityCheck:
    """Check how many cores other programs kept busy during each pool's batches: a warning, they may be the platform's."""
    loud = {p: busy for p, busy in busy_cores.items() if busy is not None and busy > MAX_OTHER_LOAD * cores}
    if not loud:
        return passed("other_load")
    shown = ", ".join(f"{busy:.1f} during {pool}" for pool, busy in loud.items())
    return failed("other_load", f"Other programs kept cores of {cores} busy: {shown}.", loud, matters=False)


def failures(counts: Mapping[str, tuple[int, int]]) -> ValidityCheck:
    """Check (jobs, jobs that did not succeed) by pool: who fails early is no example of speed."""
    bad = {pool: (lost, jobs) for pool, (jobs, lost) in counts.items() if lost}
    if not bad:
        return passed("failures")
    much = [pool for pool, (lost, jobs) in bad.items() if lost / jobs > MAX_FAILED_SHARE]
    shown = ", ".join(f"{lost} of {jobs} on {pool}" for pool, (lost, jobs) in bad.items())
    return failed("failures", f"Jobs did not succeed: {shown}.", much or bad, matters=bool(much))


def clocks(reversed_by_s: Mapping[str, Collection[float]], total: int) -> ValidityCheck:
    """Check by how many seconds stamps are out of order, by pool, in `total` jobs."""
    worst = max((s for values in reversed_by_s.values() for s in values), default=0.0)
    if worst <= CLOCK_TOLERANCE_S:
        return passed("clocks")
    pools = [p for p, values in reversed_by_s.items() if max(values, default=0.0) > CLOCK_TOLERANCE_S]
    count = sum(len(values) for values in reversed_by_s.values())
    text = f"The stamps of {count} of {total} jobs are out of order, by up to {worst * 1000:.0f} ms: clocks differ."
    return failed("clocks", text, pools)


def complete(missing: Mapping[str, Collection[int]], void: Mapping[str, Collection[str]]) -> ValidityCheck:
    """Check the rounds that each pool lacks, and the reasons of batches that were void and repeated."""
    lacking = {pool: rounds for pool, rounds in missing.items() if rounds}
    if lacking:
        shown = ", ".join(
            f"{pool} lacks round {_listed([str(n) for n in ns])}" for pool, ns in lacking.items()
        )
        return failed("complete", f"Batches are missing: {shown}.", lacking)
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
        text = (
            f"The standard library is not patched in {_listed(unpatched)}: every wait stops all of its jobs."
        )
        return failed("patched", text, unpatched)
    return passed("patched")
