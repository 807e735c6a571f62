"""The table that a round of drills prints."""

from collections.abc import Iterable, Sequence

from drills.checker import BROKEN
from drills.run import Cell

_HEAD = (
    "fault",
    "pool",
    "jobs",
    "caught",
    "lost",
    "twice",
    "other",
    "extra starts",
    "recovered",
    "seconds",
    "",
)


def _row(cell: Cell) -> tuple[str, ...]:
    if cell.skipped:
        return (cell.fault, cell.pool, *[""] * 8, f"skipped: {cell.skipped}")
    counts = cell.counts
    others = {name: counts.get(name, 0) for name in BROKEN if name not in ("lost", "duplicated")}
    counts_shown = [f"{name} {number}" for name, number in others.items() if number]
    if cell.recovery_s is not None and cell.recovery_s > cell.budget_s:
        counts_shown.append(f"over its {cell.budget_s:.0f} s")
    return (
        cell.fault,
        cell.pool,
        str(counts.get("committed", 0)),
        str(cell.caught),
        str(counts.get("lost", 0)),
        str(counts.get("duplicated", 0)),
        str(sum(others.values())),
        str(counts.get("extra_starts", 0)),
        "yes" if cell.recovered else "no",
        "" if cell.recovery_s is None else f"{cell.recovery_s:.1f}",
        "; ".join(["" if cell.is_good else "BROKEN", *counts_shown, cell.trouble]).strip("; "),
    )


def table(cells: Iterable[Cell]) -> str:
    """Return the cells as a Markdown table that reads well as plain text, too."""
    rows = [_HEAD, *map(_row, cells)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    lines = [_line(row, widths) for row in rows]
    lines.insert(1, "| " + " | ".join("-" * width for width in widths) + " |")
    return "\n".join(lines)


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    return "| " + " | ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)) + " |"
