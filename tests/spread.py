"""Which tests run in the same process: a pytest plugin for runs that are spread over several.

A platform of workers takes half a minute of a core to start, and some of it to be there. So the files that share one
run one after the other in the same process. Those of the session's platform, the longest of all, do so in two.
"""

from functools import cache
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling

ROOT = Path(__file__).resolve().parent.parent
_TURNS = 2


@cache
def _files_of_the_platform() -> list[str]:
    found = (path for path in (ROOT / "tests").rglob("test_*.py") if "platform: Platform" in path.read_text())
    return sorted(path.relative_to(ROOT).as_posix() for path in found if path.parent.name != "stuck")


class Scheduling(LoadFileScheduling):
    """Hands out whole files, and those that share a platform together."""

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        if file.startswith("tests/stuck/"):
            return "tests/stuck"
        shared = _files_of_the_platform()
        return f"platform {shared.index(file) % _TURNS}" if file in shared else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduling:
    """Return what spreads the tests."""
    return Scheduling(config, log)
