"""Print the rooms of `poolwise/`, their floors and the imports between them: `python -m dev.rooms`.

A room imports only from lower floors, and only names that the other room's `__init__` lists in `__all__`.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIBRARY = "poolwise"
FLOORS = (
    ("support",),
    ("definitions", "models", "metering", "transport"),
    ("pools",),
    ("lifecycle",),
    ("worker", "control", "reports"),
    ("charts",),
    ("lab",),
    ("coordinator",),
    ("web",),
    ("management", "admin", "api", "templatetags"),
)
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
#: Modules at the top of the library; they may use any room, and no room uses them.
ROOT_MODULES = "the root"


@dataclass(frozen=True, slots=True)
class Use:
    """One import of a name from another room."""

    path: Path
    line: int
    room: str
    """The room that imports."""
    other: str
    """The room that it imports from."""
    inner: str
    """The module within the other room, where the import goes past its `__init__`; else empty."""
    name: str

    def __str__(self) -> str:
        place = f"{self.path.relative_to(ROOT)}:{self.line}"
        return f"{place}: {self.room} imports {self.other}{self.inner and '.' + self.inner}: {self.name}"


def room_of(path: Path) -> str:
    """Return the room that a file of the library belongs to."""
    parts = path.relative_to(ROOT / LIBRARY).parts
    return parts[0] if len(parts) > 1 else ROOT_MODULES


def files() -> list[Path]:
    """Return every module of the library but the migrations."""
    return [path for path in (ROOT / LIBRARY).rglob("*.py") if "migrations" not in path.parts]


def uses(path: Path) -> Iterator[Use]:
    """Yield what a file imports from rooms other than its own."""
    own = room_of(path)
    for node in ast.walk(ast.parse(path.read_text())):
        for module, name in _imported(node):
            other, _, inner = module.removeprefix(f"{LIBRARY}.").partition(".")
            if module == LIBRARY or other == own:
                continue
            if other in FLOOR_OF:
                yield Use(path, getattr(node, "lineno", 0), own, other, inner, name)
            elif own != ROOT_MODULES and (ROOT / LIBRARY / f"{other}.py").exists():
                yield Use(path, getattr(node, "lineno", 0), own, ROOT_MODULES, other, name)


def _imported(node: ast.AST) -> Iterator[tuple[str, str]]:
    if isinstance(node, ast.Import):
        yield from ((alias.name, "*") for alias in node.names if alias.name.startswith(f"{LIBRARY}."))
    if isinstance(node, ast.ImportFrom) and node.module == LIBRARY:
        yield from ((f"{LIBRARY}.{alias.name}", "*") for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith(f"{LIBRARY}."):
        yield from ((node.module or "", alias.name) for alias in node.names)


def offered(room: str) -> set[str]:
    """Return the names in a room's `__all__`."""
    for node in ast.parse((ROOT / LIBRARY / room / "__init__.py").read_text()).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
            return set(ast.literal_eval(node.value))
    return set()


@cache
def arrows() -> dict[tuple[str, str], int]:
    """Return how many imports go from one room to another."""
    counts: dict[tuple[str, str], int] = {}
    for path in files():
        for use in uses(path):
            counts[use.room, use.other] = counts.get((use.room, use.other), 0) + 1
    return counts


def main() -> None:
    """Print one line per room, from the top floor down: its files, its lines, and the rooms that it uses."""
    counts = arrows()
    for floor, rooms in reversed(list(enumerate(FLOORS))):
        for room in rooms:
            sizes = [len(path.read_text().splitlines()) for path in files() if room_of(path) == room]
            used = ", ".join(sorted(other for user, other in counts if user == room))
            print(f"{floor}  {room:<12} {len(sizes):>3} files {sum(sizes):>6,} lines  → {used or '–'}")
    between = [pair for pair in counts if ROOT_MODULES not in pair]
    up = [f"{user} → {other}" for user, other in between if FLOOR_OF[other] >= FLOOR_OF[user]]
    print(
        f"{len(FLOOR_OF)} rooms, {len(FLOORS)} floors, {len(between)} arrows; up: {', '.join(up) or 'none'}"
    )


if __name__ == "__main__":
    main()
