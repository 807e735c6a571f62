"""Which tests run in the same process: a pytest plugin for runs with several processes.

A platform of workers takes half a minute of a core to start, and some more while it runs. So the files that share one
run in the same process. Those of the session's platform take longest and run in two processes; the browser tests, which
take four seconds of a core to start, run in one of these.
"""

from functools import cache
from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling

from tests import ROOT

_WITH_BROWSER, _WITHOUT = "platform and browser", "platform"


@cache
def _scope_of_file() -> dict[str, str]:
    """Return the scope of each file that shares a process; both scopes of the platform take about the same time."""
    tests = ROOT / "tests"
    on_platform = (path for path in tests.rglob("test_*.py") if "platform: Platform" in path.read_text())
    shared = sorted(path for path in on_platform if path.parent.name not in ("stuck", "browser"))
    scopes = {path: _WITH_BROWSER if turn % 3 == 2 else _WITHOUT for turn, path in enumerate(shared)}
    scopes |= dict.fromkeys(tests.glob("project/browser/test_*.py"), _WITH_BROWSER)
    scopes |= dict.fromkeys(tests.glob("worker/stuck/test_*.py"), "stuck")
    return {path.relative_to(ROOT).as_posix(): scope for path, scope in scopes.items()}


class Scheduling(LoadFileScheduling):
    """Assigns whole files, and those of one scope together."""

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        return _scope_of_file().get(file, file)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduling:
    """Return the scheduler with these scopes."""
    return Scheduling(config, log)
