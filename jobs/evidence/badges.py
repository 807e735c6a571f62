"""The badges of the validity gate: what each is called, and how one passes or fails."""

from collections.abc import Iterable

from jobs.bounded import MAX_REASON_CHARS
from jobs.evidence.report import Badge

TITLES = {
    "complete": "Every block counted",
    "code": "Same code",
    "machine": "Same machine",
    "parameters": "Same parameters",
    "prefetch": "Same prefetch",
    "alone": "No other job ran",
    "quiet": "The machine was quiet",
    "failures": "Nothing failed",
    "concurrency": "Slots were used",
    "clocks": "Clocks agree",
    "stalls": "No stall",
    "patched": "gevent is patched",
    "spread": "Steady",
}


def passed(badge: str) -> Badge:
    """Return a badge that passes."""
    return Badge(id=badge, title=TITLES[badge])


def failed(badge: str, reason: str, pools: Iterable[str] = (), *, matters: bool = True) -> Badge:
    """Return a badge that fails for a reason."""
    short = reason if len(reason) <= MAX_REASON_CHARS else f"{reason[: MAX_REASON_CHARS - 1]}…"
    return Badge(
        id=badge, title=TITLES[badge], passed=False, matters=matters, reason=short, pools=tuple(pools)
    )


def objection(badges: Iterable[Badge], *pools: str) -> str:
    """Return why nothing can be said of these pools, or "" when no badge stands against it."""
    spoiling = (b.reason for b in badges if b.withholds and (not b.pools or set(b.pools) & set(pools)))
    return next(spoiling, "")
