"""A module imports only from lower levels; the table is the one in docs/architecture.md."""

import ast
from pathlib import Path

import pytest

from tests import ROOT

LEVELS = [
    ("imports", "startup", "redaction", "bounded"),
    (
        *(
            "errors",
            "timing",
            "statistics",
            "verdicts",
            "logs",
            "formats",
            "signing",
            "addresses",
            "failover",
        ),
        *("watched", "schema", "cores", "celery_worker", "native_threads", "duty"),
    ),
    ("definitions", "pools", "redis_client", "printing"),
    ("models", "stream", "heartbeats", "catalog", "environment", "messages"),
    (
        *(
            "recorder",
            "reports",
            "time_split",
            "timeline",
            "switches",
            "audit",
            "retention",
            "roles",
        ),
        *("guarantees", "sidecar", "watchdog", "memory_watch", "choice"),
        *("process_stats_thread", "report_thread", "shutdown", "limit_probing"),
    ),
    ("execution", "worker", "evidence", "configurations", "bounds", "tokens", "doubles"),
    ("task_request", "worker_signals", "reception"),
    ("tasks",),
    ("publishing", "deduplication"),
    ("cancelling", "rescue"),
    ("submission",),
    ("comparisons", "operations"),
    ("sampling", "recording"),
    ("duties", "backend", "forms", "checks", "local_processes", "vega", "charts", "pictures"),
    ("coordinator", "templatetags", "comparison_charts"),
    ("bundles",),
    ("forms",),
    ("views", "logins"),
    ("admin", "api", "management"),
    ("urls", "apps"),
]
LEVEL_OF = {name: level for level, names in enumerate(LEVELS) for name in names}
MODULES = [
    path
    for path in (ROOT / "jobs").rglob("*.py")
    if ("migrations" not in path.parts and path.stem != "__init__") or path.parent.name != "jobs"
]


def part_of(path: Path) -> str:
    return path.relative_to(ROOT / "jobs").parts[0].removesuffix(".py")


def imported_parts(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = (
                [f"{node.module}.{alias.name}" for alias in node.names]
                if node.module == "jobs"
                else [node.module]
            )
        found |= {name.split(".")[1] for name in names if name.startswith("jobs.")}
        assert not any(name.split(".")[0] == "project" for name in names), f"{path} imports project"
    return found


@pytest.mark.parametrize("path", [p for p in MODULES if "migrations" not in p.parts], ids=str)
def test_a_module_imports_only_from_lower_levels(path: Path) -> None:
    own = part_of(path)
    if own == "__init__":
        return
    assert own in LEVEL_OF, f"give jobs/{own} a level in this test and in docs/architecture.md"
    too_high = [part for part in imported_parts(path) - {own} if LEVEL_OF[part] >= LEVEL_OF[own]]
    assert not too_high, f"{own} (level {LEVEL_OF[own]}) imports {too_high}"


def test_programs_need_no_pages() -> None:
    for path in MODULES:
        if part_of(path) in ("api", "management"):
            assert not imported_parts(path) & {"views", "forms", "admin"}, path
