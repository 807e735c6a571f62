"""A room imports only from lower floors, and through the other room's `__init__`."""

import re

import pytest

from dev.rooms import FLOOR_OF, LIBRARY, ROOT, ROOT_MODULES, arrows, files, offered, room_of, uses

USES = [use for path in files() for use in uses(path)]
MOST_DOORS = 12
#: It offers names of modules that are imported when a name is first used.
PUBLIC_FACE = ROOT / LIBRARY / "__init__.py"


def test_every_file_of_the_library_belongs_to_a_room_with_a_floor() -> None:
    assert {room_of(path) for path in files()} == {*FLOOR_OF, ROOT_MODULES}


def test_a_room_imports_only_from_lower_floors() -> None:
    top = len(FLOOR_OF)
    between = [use for use in USES if use.room != ROOT_MODULES]
    assert [str(use) for use in between if FLOOR_OF.get(use.other, top) >= FLOOR_OF[use.room]] == []


def test_a_room_is_entered_through_its_init() -> None:
    uses_of_rooms = [use for use in USES if use.path != PUBLIC_FACE]
    assert [str(use) for use in uses_of_rooms if use.inner] == []
    assert [str(use) for use in uses_of_rooms if use.name != "*" and use.name not in offered(use.other)] == []


@pytest.mark.parametrize("room", FLOOR_OF)
def test_a_room_uses_at_most_twelve_others(room: str) -> None:
    assert len([other for one, other in arrows() if one == room]) <= MOST_DOORS


def test_no_room_imports_a_site() -> None:
    of_a_site = re.compile(r"^\s*(from|import) (jobs|project)\b", re.MULTILINE)
    assert [path for path in files() if of_a_site.search(path.read_text())] == []
