"""The site's jobs use nothing of the library but its public names."""

import ast
from pathlib import Path

import poolwise
from project import settings as site


def test_jobs_import_only_the_public_names_of_poolwise() -> None:
    imported: set[str] = set()
    for path in (Path(site.BASE_DIR) / "jobs").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module == "poolwise":
                imported |= {alias.name for alias in node.names}
                continue
            modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            modules += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert not [name for name in modules if name.split(".")[0] in ("poolwise", "project")], path
    assert {"job", "Lesson"} <= imported <= set(poolwise.__all__)
