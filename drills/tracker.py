"""How long until what a fault caught goes on, measured from outside by the drill's own clock."""

import json
import time
from collections.abc import Iterable
from pathlib import Path
from uuid import UUID

from drills.database import Database, DatabaseAway

_CHECK_EVERY_S = 0.25


class Tracker:
    """Follows the jobs that were live at a fault until each has written a new line or has ended."""

    def __init__(self, database: Database, run_log: Path) -> None:
        self._database, self._run_log = database, run_log
        self.reset()

    def reset(self) -> None:
        """Follow nothing."""
        self._caught: dict[str, tuple[str, float]] = {}  # pool and since when, by job
        self._offset: int | None = None
        self._next_check_mono = 0.0
        self.caught: dict[str, int] = {}
        self.recovered_in_s: dict[str, float] = {}

    def begin(self, *pools: str) -> None:
        """Follow what is live now in these pools, or in all, and measure it from now."""
        try:
            live = self._database.live()
        except DatabaseAway:
            live = {}
        # Earlier lines do not show that what is caught now has gone on.
        self._release(self._started())
        now = time.monotonic()
        self._caught |= {
            job: (pool, now) for job, (pool, _) in self._caught.items() if pool in (pools or (pool,))
        }
        if self._offset is None:
            self._offset = self._run_log.stat().st_size if self._run_log.exists() else 0
        for job, pool in live.items():
            if pools and pool not in pools:
                continue
            if job not in self._caught:
                self.caught[pool] = self.caught.get(pool, 0) + 1
            self._caught[job] = (pool, now)

    def check(self) -> None:
        """Note which jobs have gone on."""
        if not self._caught or time.monotonic() < self._next_check_mono:
            return
        self._next_check_mono = time.monotonic() + _CHECK_EVERY_S
        self._release(self._started())
        try:
            live = self._database.live()
        except DatabaseAway:
            return
        self._release([job for job in self._caught if job not in live])

    def _started(self) -> list[str]:
        if self._offset is None or not self._run_log.exists():
            return []
        with self._run_log.open("rb") as file:
            file.seek(self._offset)
            whole, _, _ = file.read().rpartition(b"\n")
        self._offset += len(whole) + 1 if whole else 0
        return [UUID(json.loads(line)["job"]).hex for line in whole.splitlines() if line]

    def _release(self, jobs: Iterable[str]) -> None:
        for job in jobs:
            if (caught := self._caught.pop(job, None)) is not None:
                pool, since_mono = caught
                seconds = time.monotonic() - since_mono
                self.recovered_in_s[pool] = max(seconds, self.recovered_in_s.get(pool, 0.0))

    def is_over(self) -> bool:
        """Return whether every caught job has gone on."""
        return not self._caught

    def stuck(self, pool: str) -> int:
        """Return how many of a pool's caught jobs have not."""
        return sum(of == pool for of, _ in self._caught.values())
