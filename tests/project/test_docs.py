"""Prose is tested too: every setting, pool, command, endpoint and option occurs in the docs."""

import re

import pytest
from django.conf import settings
from django.core.management import get_commands

from poolwise.control.roles import ROLES
from poolwise.definitions.declare import Options
from poolwise.models import JobState
from poolwise.pools import MODELS
from tests import ROOT
from tests.test_floors import LEVELS

SETTINGS_PAGE = (ROOT / "docs/settings.md").read_text()
ARCHITECTURE_PAGE = (ROOT / "docs/architecture.md").read_text()
JOB_PAGE = (ROOT / "docs/adding-a-job.md").read_text()
README = (ROOT / "README.md").read_text()
READ = sorted(set(re.findall(r'env\.\w+\(\s*"([A-Z_]+)"', (ROOT / "project/settings.py").read_text())))


@pytest.mark.parametrize("name", READ)
def test_every_setting_is_documented(name: str) -> None:
    assert f"`{name}`" in SETTINGS_PAGE


@pytest.mark.parametrize("name", [*settings.JOB_POOLS, *MODELS])
def test_every_pool_is_documented(name: str) -> None:
    assert f"`{name}`" in SETTINGS_PAGE
    assert f"`{name}`" in ARCHITECTURE_PAGE


@pytest.mark.parametrize("name", [name for name, app in get_commands().items() if app == "jobs"])
def test_every_command_is_documented(name: str) -> None:
    assert f"manage.py {name}" in SETTINGS_PAGE


@pytest.mark.parametrize("state", JobState.values)
def test_every_state_is_in_the_diagram(state: str) -> None:
    assert state in ARCHITECTURE_PAGE


@pytest.mark.parametrize("option", list(Options.__annotations__))
def test_every_option_of_a_definition_is_documented(option: str) -> None:
    assert f"`{option}`" in JOB_PAGE


@pytest.mark.parametrize("part", [part for level in LEVELS for part in level if part != "api"])
def test_every_part_has_its_level_in_the_architecture_page(part: str) -> None:
    assert f"`{part}`" in ARCHITECTURE_PAGE


@pytest.mark.parametrize("role", list(ROLES))
def test_every_role_is_in_the_table_of_who_may_what(role: str) -> None:
    assert f" {role} |" in (ROOT / "docs/security.md").read_text()


@pytest.mark.parametrize("target", ["make up", "make test", "docker compose up"])
def test_the_readme_names_the_commands(target: str) -> None:
    assert target in README


def test_links_between_the_pages_lead_somewhere() -> None:
    for page in (ROOT / "README.md", ROOT / "SECURITY.md", *(ROOT / "docs").glob("*.md")):
        for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name} links to {link}"
