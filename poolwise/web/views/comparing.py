"""The progress of a comparison, as its page shows it."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from poolwise.lab import copies_of
from poolwise.models import ENDED, Batch, Comparison, Job


@dataclass(frozen=True, slots=True)
class Tile:
    """One batch of a comparison as the page shows it while it runs."""

    batch: Batch
    total: int
    ended: int
    failed: int

    @property
    def state(self) -> str:
        """Return `void`, `done`, `running` or `waiting`."""
        if self.batch.void_reason:
            return "void"
        if self.batch.finished_at:
            return "done"
        return "running" if self.batch.released_at else "waiting"

    @property
    def name(self) -> str:
        """Return the round, or the role of an uncounted batch."""
        measured = self.batch.role == Batch.Role.MEASURED
        return f"round {self.batch.round}" if measured else str(self.batch.get_role_display()).lower()

    @property
    def took_s(self) -> float | None:
        """Return seconds from release to end."""
        if self.batch.finished_at is None or self.batch.released_at is None:
            return None
        return (self.batch.finished_at - self.batch.released_at).total_seconds()


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of a comparison."""

    lanes: list[tuple[str, list[Tile]]]
    """The batches of each pool, in the order of their release."""

    @property
    def tiles(self) -> list[Tile]:
        """Return every valid batch, in the order of release."""
        tiles = (tile for _, lane in self.lanes for tile in lane if tile.state != "void")
        return sorted(tiles, key=lambda tile: tile.batch.position)

    @property
    def now(self) -> Tile | None:
        """Return the batch that runs."""
        return next((tile for tile in self.tiles if tile.state == "running"), None)

    @property
    def done(self) -> int:
        """Return how many batches have ended."""
        return sum(tile.state == "done" for tile in self.tiles)

    @property
    def share(self) -> float:
        """Return the part of all jobs that have ended, 0 to 1."""
        total = sum(tile.total for tile in self.tiles)
        ended = sum(tile.total if tile.state == "done" else tile.ended for tile in self.tiles)
        return ended / total if total else 0.0


def progress_of(comparison: Comparison) -> Progress:
    """Read the batches and how many of their jobs have ended."""
    batches = list(comparison.batches.order_by("position"))
    counts = _counts(comparison)
    tiles = [_tile(batch, counts.get(batch.pk, Counter()), copies_of(comparison, batch)) for batch in batches]
    variants = dict.fromkeys(sorted(batch.variant for batch in batches))
    return Progress(
        [(variant, [tile for tile in tiles if tile.batch.variant == variant]) for variant in variants]
    )


def _counts(comparison: Comparison) -> dict[int, Counter[str]]:
    counts: dict[int, Counter[str]] = {}
    rows: Iterable[Any] = (
        Job.objects.filter(batch__comparison=comparison).order_by().values_list("batch_id", "state")
    )
    for batch, state in rows:
        counts.setdefault(batch, Counter())[state] += 1
    return counts


def _tile(batch: Batch, states: Counter[str], copies: int) -> Tile:
    return Tile(batch, copies, sum(states[state] for state in ENDED), states["failed"])
