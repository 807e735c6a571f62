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
    """Return why there is no verdict on these pools, or ""."""
    reasons = (
        check.reason
        for check in checks
        if check.withholds and (not check.pools or set(check.pools) & set(pools))
    )
    return next(reasons, "")
