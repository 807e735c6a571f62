"""The wheel: built, installed into an empty environment, and used by a project that `startproject` made."""

import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from tests import ROOT
from tests.helpers.services import absent

pytestmark = pytest.mark.slow
#: What the tests set for this repository's own site.
OURS = ("DJANGO_SETTINGS_MODULE", "DATABASE_URL", "REDIS_URL", "DEBUG", "STATIC_ROOT", "PYTHONPATH")
PARTS = ("poolwise", "pyproject.toml", "README.md", "LICENSE")
#: Of each kind that setuptools leaves out unless it is named.
MUST_HOLD = (
    "poolwise/py.typed",
    "poolwise/migrations/0001_initial.py",
    "poolwise/templates/poolwise/base.html",
    "poolwise/templates/admin/poolwise/index.html",
    "poolwise/static/poolwise/poolwise.css",
    "poolwise/management/commands/compare.py",
)


def run(*command: str | Path, cwd: Path) -> str:
    """Run a command; return what it printed. Fail the test, with its output, where it fails."""
    environment = {name: value for name, value in os.environ.items() if name not in OURS}
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, capture_output=True, text=True, timeout=500, env=environment
    )
    if "No matching distribution" in done.stderr or "Temporary failure in name resolution" in done.stderr:
        absent("a package index", "the test installs the dependencies of the wheel")
    assert done.returncode == 0, f"{command} failed:\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy: setuptools leaves folders behind where it builds."""
    source = tmp_path_factory.mktemp("source")
    for name in PARTS:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, source / name)
    run(
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--wheel-dir",
        source / "out",
        ".",
        cwd=source,
    )
    return next((source / "out").glob("poolwise-*.whl"))


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment that holds the wheel and what it depends on, nothing else."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True)
    run(folder / "bin/python", "-m", "pip", "install", "--quiet", wheel, cwd=folder)
    return folder / "bin/python"


def test_the_wheel_holds_templates_static_files_migrations_and_types(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert [name for name in MUST_HOLD if name not in names] == []
    assert {name.split("/")[0] for name in names if not name.split("/")[0].endswith(".dist-info")} == {
        "poolwise"
    }


@pytest.mark.timeout(600)
def test_a_new_project_installs_poolwise_checks_migrates_and_submits(python: Path, tmp_path: Path) -> None:
    run(python, "-m", "django", "startproject", "shop", ".", cwd=tmp_path)
    settings = tmp_path / "shop/settings.py"
    settings.write_text(f"{settings.read_text()}\nINSTALLED_APPS += ['django_celery_results', 'poolwise']\n")
    (tmp_path / "shop/jobs.py").write_text(
        "from poolwise import job\n\n\n@job(kind='io')\ndef price(product_id: int) -> int:\n"
        '    """Return a price."""\n    return product_id * 2\n'
    )
    settings.write_text(f"{settings.read_text()}\nINSTALLED_APPS += ['shop']\n")
    assert "no issues" in run(python, "manage.py", "check", cwd=tmp_path)
    assert "poolwise.0001_initial... OK" in run(python, "manage.py", "migrate", cwd=tmp_path)
    code = (
        "from poolwise import get_result, submit, testing\n"
        "with testing.inline():\n    [job] = submit('shop.price', {'product_id': 7}, pool='threads')\n"
        "job.refresh_from_db()\nprint(job.state, get_result(job))"
    )
    assert "succeeded 14" in run(python, "manage.py", "shell", "-c", code, cwd=tmp_path)
