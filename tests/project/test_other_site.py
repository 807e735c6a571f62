"""Poolwise in a project that differs from ours: user model, language, numbers, path."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import ROOT


@pytest.mark.slow
def test_every_page_works_for_users_by_email_in_another_language_below_a_path(
    suite_redis: None, tmp_path: Path
) -> None:
    own = {
        "DATABASE_URL": f"sqlite:///{tmp_path / 'site.sqlite3'}",
        "JOB_KEY_PREFIX": "other-site:",
        "DJANGO_SETTINGS_MODULE": "tests.project.other_site.settings",
        "LOG_LEVEL": "ERROR",
    }
    command = [sys.executable, "manage.py", "visit"]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **own}, capture_output=True, text=True, timeout=240
    )
    assert done.stdout.splitlines()[-1:] == ["nothing is wrong"], f"{done.stdout}\n{done.stderr}"
