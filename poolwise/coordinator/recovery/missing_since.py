"""Remembers since when something is missing, so that no single check decides."""

import time
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field


@dataclass(slots=True)
class MissingSince[Key: Hashable]:
    """Since when each key is missing without a break, by this process's monotonic clock."""

    since_mono: dict[Key, float] = field(default_factory=dict)

    def longer_than(self, seconds: float, missing: Iterable[Key]) -> set[Key]:
        """Note what is missing now, forget the rest, and return what has been missing for `seconds`."""
        now = time.monotonic()
        self.since_mono = {key: self.since_mono.get(key, now) for key in missing}
        return {key for key, since in self.since_mono.items() if now - since >= seconds}

    def reset(self) -> None:
        """Start again, as after an outage during which nothing could be checked."""
        self.since_mono = {}

    def discard(self, keys: Iterable[Key]) -> None:
        """Forget these: they were recovered, and count as missing only after the full time again."""
        for key in keys:
            self.since_mono.pop(key, None)
