"""Remembers since when something is missing, so that one unlucky look does not decide."""

import time
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field


@dataclass(slots=True)
class MissingSince[Key: Hashable]:
    """Since when each key is missing without a break, by this process's monotonic clock."""

    since_mono: dict[Key, float] = field(default_factory=dict)

    def longer_than(self, seconds: float, missing: Iterable[Key]) -> set[Key]:
        """Note what is missing now, forget what is back, and return what has been missing for `seconds`."""
        now = time.monotonic()
        self.since_mono = {found: self.since_mono.get(found, now) for found in missing}
        return {found for found, since in self.since_mono.items() if now - since >= seconds}

    def reset(self) -> None:
        """Begin anew, as after an outage during which nothing could be seen."""
        self.since_mono = {}

    def discard(self, keys: Iterable[Key]) -> None:
        """Forget these: they are taken care of, and have their time again before they count as missing."""
        for key in keys:
            self.since_mono.pop(key, None)
