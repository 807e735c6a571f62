"""How far a comparison has come, as its page shows it."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from jobs.comparisons import copies_of
from jobs.models import ENDED, Block, Comparison, Job


@dataclass(frozen=True, slots=True)
class Tile:
    """One block of a comparison as the page shows it while it runs."""

    block: Block
    total: int
    ended: int
    failed: int

    @property
    def state(self) -> str:
        """Return void, done, running or waiting."""
        if self.block.void_reason:
            return "void"
        if self.block.finished_at:
            return "done"
        return "running" if self.block.released_at else "waiting"

    @property
    def name(self) -> str:
        """Return what the block is for, in a word or two."""
        measured = self.block.role == Block.Role.MEASURED
        return f"round {self.block.round}" if measured else str(self.block.get_role_display()).lower()

    @property
    def took_s(self) -> float | None:
        """Return seconds from release to end."""
        if self.block.finished_at is None or self.block.released_at is None:
            return None
        return (self.block.finished_at - self.block.released_at).total_seconds()


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a comparison has come."""

    lanes: list[tuple[str, list[Tile]]]
    """The blocks of each pool, in the order of their release."""

    @property
    def tiles(self) -> list[Tile]:
        """Return every block that counts, in the order of release."""
        tiles = (tile for _, lane in self.lanes for tile in lane if tile.state != "void")
        return sorted(tiles, key=lambda tile: tile.block.position)

    @property
    def now(self) -> Tile | None:
        """Return the block that runs."""
        return next((tile for tile in self.tiles if tile.state == "running"), None)

    @property
    def done(self) -> int:
        """Return how many blocks have ended."""
        return sum(tile.state == "done" for tile in self.tiles)

    @property
    def share(self) -> float:
        """Return the part of all jobs that have ended, 0 to 1."""
        total = sum(tile.total for tile in self.tiles)
        ended = sum(tile.total if tile.state == "done" else tile.ended for tile in self.tiles)
        return ended / total if total else 0.0


def progress_of(comparison: Comparison) -> Progress:
    """Read the blocks and how many of their jobs have ended."""
    blocks = list(comparison.blocks.order_by("position"))
    counts = _counts(comparison)
    tiles = [_tile(block, counts.get(block.pk, Counter()), copies_of(comparison, block)) for block in blocks]
    arms = dict.fromkeys(sorted(block.arm for block in blocks))
    return Progress([(arm, [tile for tile in tiles if tile.block.arm == arm]) for arm in arms])


def _counts(comparison: Comparison) -> dict[int, Counter[str]]:
    counts: dict[int, Counter[str]] = {}
    rows: Iterable[Any] = (
        Job.objects.filter(block__comparison=comparison).order_by().values_list("block_id", "state")
    )
    for block, state in rows:
        counts.setdefault(block, Counter())[state] += 1
    return counts


def _tile(block: Block, states: Counter[str], copies: int) -> Tile:
    return Tile(block, copies, sum(states[state] for state in ENDED), states["failed"])
