"""The badges of the validity gate: what each is called, and how one passes or fails."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

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


@dataclass(frozen=True, slots=True)
class Badge:
    """One rule's answer. `pools` are those that a failure spoils; none named means all."""

    id: str
    passed: bool = True
    matters: bool = True
    reason: str = ""
    pools: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """Return the badge's name on pages."""
        return TITLES[self.id]

    @property
    def withholds(self) -> bool:
        """Return whether the verdict is withheld on its account."""
        return self.matters and not self.passed

    def as_dict(self) -> dict[str, Any]:
        """Return the badge, ready for JSON."""
        return {
            "id": self.id,
            "title": self.title,
            "passed": self.passed,
            "matters": self.matters,
            "reason": self.reason,
            "pools": list(self.pools),
        }


def failed(badge: str, reason: str, pools: Iterable[str] = (), *, matters: bool = True) -> Badge:
    """Return a badge that fails for a reason."""
    return Badge(badge, passed=False, matters=matters, reason=reason, pools=tuple(pools))


def objection(badges: Iterable[Badge], *pools: str) -> str:
    """Return why nothing can be said of these pools, or "" when no badge stands against it."""
    spoiling = (b.reason for b in badges if b.withholds and (not b.pools or set(b.pools) & set(pools)))
    return next(spoiling, "")


def gate(badges: Iterable[Badge]) -> dict[str, Any]:
    """Return the gate as the evidence holds it."""
    shown = list(badges)
    return {"valid": not any(b.withholds for b in shown), "badges": [b.as_dict() for b in shown]}
