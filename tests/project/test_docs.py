"""Prose is tested too: every setting, pool, command, room and option occurs in the docs, and every link leads somewhere."""

import re
from itertools import chain
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import get_commands

import poolwise
from dev.rooms import FLOOR_OF, FLOORS
from poolwise.control.roles import ROLES
from poolwise.definitions.declare import Options
from poolwise.models import JobState
from poolwise.pools import MODELS
from tests import ROOT

SETTINGS_PAGE = (ROOT / "docs/settings.md").read_text()
ARCHITECTURE_PAGE = (ROOT / "docs/architecture.md").read_text()
JOB_PAGE = (ROOT / "docs/adding-a-job.md").read_text()
README = (ROOT / "README.md").read_text()
PAGES = sorted(chain(ROOT.glob("*.md"), (ROOT / "docs").glob("*.md"), (ROOT / "benchmarks").glob("*.md")))
PUBLIC = {*poolwise.__all__, "testing"}
READ = sorted(set(re.findall(r'env\.\w+\(\s*"([A-Z_]+)"', (ROOT / "project/settings.py").read_text())))


@pytest.mark.parametrize("name", READ)
def test_every_setting_is_documented(name: str) -> None:
    assert f"`{name}`" in SETTINGS_PAGE


@pytest.mark.parametrize("name", [*settings.JOB_POOLS, *MODELS])
def test_every_pool_is_documented(name: str) -> None:
    assert f"`{name}`" in SETTINGS_PAGE
    assert f"`{name}`" in ARCHITECTURE_PAGE


@pytest.mark.parametrize(
    "name", [name for name, app in get_commands().items() if app in ("poolwise", "jobs")]
)
def test_every_command_is_documented(name: str) -> None:
    assert f"manage.py {name}" in SETTINGS_PAGE


@pytest.mark.parametrize("state", JobState.values)
def test_every_state_is_in_the_diagram(state: str) -> None:
    assert state in ARCHITECTURE_PAGE


@pytest.mark.parametrize("option", list(Options.__annotations__))
def test_every_option_of_a_definition_is_documented(option: str) -> None:
    assert f"`{option}`" in JOB_PAGE


def test_the_map_has_every_room_on_its_floor() -> None:
    rows = re.findall(r"^\| (\d+) \| `(\w+)/` \|", ARCHITECTURE_PAGE, re.MULTILINE)
    assert {room: int(floor) for floor, room in rows} == FLOOR_OF
    assert [int(floor) for floor, _ in rows] == sorted(FLOOR_OF.values(), reverse=True)
    assert len(rows) == sum(map(len, FLOORS))


def test_the_map_has_at_most_150_lines() -> None:
    assert len(ARCHITECTURE_PAGE.splitlines()) <= 150


@pytest.mark.parametrize("role", list(ROLES))
def test_every_role_is_in_the_table_of_who_may_what(role: str) -> None:
    assert f" {role} |" in (ROOT / "docs/security.md").read_text()


@pytest.mark.parametrize("target", ["make up", "make test", "docker compose up"])
def test_the_readme_names_the_commands(target: str) -> None:
    assert target in README


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_a_file_and_a_heading(page: Path) -> None:
    for link in re.findall(r"\]\((?!https?:)([^)]+)", page.read_text()):
        path, _, heading = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), f"{page.name} links to {link}"
        assert not heading or heading in _headings(target), f"{page.name} links to {link}"


def _headings(page: Path) -> list[str]:
    """Return the headings as GitHub spells them in addresses."""
    lines = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return [re.sub(r"[^\w -]", "", line).strip().lower().replace(" ", "-") for line in lines]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_function_in_a_link_is_defined_in_the_file(page: Path) -> None:
    for name, path in re.findall(r"\[`([\w.]+)`\]\(([^)#]+\.py)\)", page.read_text()):
        if name.endswith(".py"):
            continue
        last = name.rpartition(".")[2]
        defined = rf"^ *(?:async )?def {last}\b|^class {last}\b|^{last}\b.*="
        assert re.search(defined, (page.parent / path).read_text(), re.MULTILINE), f"{page.name}: {name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_examples_import_only_public_names(page: Path) -> None:
    lines = re.findall(
        r"^(?:from poolwise[\w.]* import .+|import poolwise.*)$", page.read_text(), re.MULTILINE
    )
    for line in lines:
        assert line.startswith("from poolwise import "), f"{page.name}: {line}"
        names = {name.strip() for name in line.removeprefix("from poolwise import ").split(",")}
        assert names <= PUBLIC, f"{page.name}: {line}"
