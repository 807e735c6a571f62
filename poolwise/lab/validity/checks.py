"""The titles of the validity checks, and how a check passes or fails."""

from collections.abc import Iterable

from poolwise.lab.report.model import ValidityCheck
from poolwise.support import MAX_REASON_CHARS

TITLES = {
    "complete": "All batches valid",
    "code": "Same code",
    "machine": "Same machine",
    "parameters": "Same parameters",
    "prefetch": "Same prefetch",
    "alone": "No other jobs",
    "other_load": "No other load",
    "failures": "No failures",
    "concurrency": "Slots used",
    "clocks": "Clocks agree",
    "stalls": "No stall",
    "patched": "gevent is patched",
    "spread": "Low spread",
}

_REPEAT = "Repeat the comparison"
_REMEDIES = {
    "complete": f"{_REPEAT} with the workers of every pool running.",
    "code": "Restart the workers, so that all run the same code, and repeat the comparison.",
    "machine": f"{_REPEAT} with all pools on the same machine.",
    "prefetch": "Give all workers the same prefetch, and repeat the comparison.",
    "alone": f"{_REPEAT} while no other jobs run.",
    "failures": "Mend what makes the jobs fail, and repeat the comparison.",
    "concurrency": f"{_REPEAT} after a restart of the pool's workers.",
    "clocks": "Synchronise the clocks of the machines, and repeat the comparison.",
    "patched": "Start the gevent pool with `manage.py pool`, and repeat the comparison.",
}


def remedy(check: str) -> str:
    """Return what to do when a check fails."""
    return _REMEDIES.get(check, f"{_REPEAT}.")


def passed(check: str) -> ValidityCheck:
    """Return a check that passes."""
    return ValidityCheck(id=check, title=TITLES[check])


def failed(check: str, reason: str, pools: Iterable[str] = (), *, matters: bool = True) -> ValidityCheck:
    """Return a check that fails for a reason."""
    short = reason if len(reason) <= MAX_REASON_CHARS else f"{reason[: MAX_REASON_CHARS - 1]}…"
    return ValidityCheck(
        id=check, title=TITLES[check], passed=False, matters=matters, reason=short, pools=tuple(pools)
    )


def objection(checks: Iterable[ValidityCheck], *pools: str) -> str:
    """Return why these variants do not count, or ""."""
    reasons = (
        check.reason
        for check in checks
        if check.withholds and (not check.pools or set(check.pools) & set(pools))
    )
    return next(reasons, "")
