"""Which tests run in the same process: a pytest plugin for runs that are spread over several.

A platform of workers takes half a minute of a core to start, and some of it to be there. So the files that share one
run one after the other in the same process. Those of the session's platform, the longest of all, do so in two; the
browser, which takes four seconds of a core to start, runs in one of these.
"""

from functools import cache
from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling

from tests import ROOT

_WITH_BROWSER, _WITHOUT = "platform and browser", "platform"


@cache
def _scope_of_file() -> dict[str, str]:
    """Return where the files run that do not run by themselves, so that both turns take about the same time."""
    tests = ROOT / "tests"
    found = (path for path in tests.rglob("test_*.py") if "platform: Platform" in path.read_text())
    shared = sorted(path for path in found if path.parent.name not in ("stuck", "browser"))
    scopes = {path: _WITH_BROWSER if turn % 3 == 2 else _WITHOUT for turn, path in enumerate(shared)}
    scopes |= dict.fromkeys(tests.glob("browser/test_*.py"), _WITH_BROWSER)
    scopes |= dict.fromkeys(tests.glob("stuck/test_*.py"), "stuck")
    return {path.relative_to(ROOT).as_posix(): scope for path, scope in scopes.items()}


class Scheduling(LoadFileScheduling):
    """Hands out whole files, and those that share a platform together."""

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        return _scope_of_file().get(file, file)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduling:
    """Return what spreads the tests."""
    return Scheduling(config, log)
