import json
import subprocess
import sys
from pathlib import Path

import pytest

from poolwise.lifecycle import environment
from poolwise.lifecycle.environment import capture, machine
from poolwise.support.cpu import cores


def write(root: Path, name: str, text: str) -> None:
    file = root / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


@pytest.mark.django_db
def test_the_card_says_where_a_measurement_ran_and_can_be_stored(suite_redis: None) -> None:
    card = capture()
    assert json.loads(json.dumps(card)) == card
    assert card["cores"] == cores() >= 1
    assert card["gil"] in ("on", "off")
    assert card["libraries"]["celery"]
    assert card["broker"]["kind"] == "redis"
    assert card["broker"]["version"]
    assert card["database"]["kind"] in ("sqlite", "postgresql")
    assert card["prefetch"] == 1
    assert len(card["code"]) == len(card["machine"]) == 12


@pytest.mark.django_db
def test_what_is_unknown_does_not_keep_the_card_from_being_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse() -> None:
        raise OSError("away")

    monkeypatch.setattr(environment.connection, "ensure_connection", refuse)
    assert capture()["database"] == {"kind": None, "version": None}


def test_a_machine_is_told_from_another_and_from_itself_after_a_restart(tmp_path: Path) -> None:
    write(tmp_path, "boot", "1")
    files = (tmp_path / "boot", tmp_path / "id")
    first = machine(files)
    assert machine(files) == first
    write(tmp_path, "boot", "2")
    assert machine(files) != first


def test_containers_of_one_machine_agree_on_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "boot", "1")
    seen = set()
    for container in ("27056e03933f", "372e8347ad93"):
        monkeypatch.setattr("platform.node", lambda name=container: name)
        write(tmp_path, "id", container)
        seen.add(machine((tmp_path / "boot", tmp_path / "id")))
    assert len(seen) == 1


def test_a_machine_without_a_boot_id_is_told_by_its_own_and_else_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = (tmp_path / "boot", tmp_path / "id")
    named = machine(files)
    monkeypatch.setattr("platform.node", lambda: "barn")
    assert machine(files) != named
    write(tmp_path, "id", "a")
    assert machine(files) not in {named, machine(())}


def test_the_code_version_follows_the_sources(tmp_path: Path) -> None:
    write(tmp_path, "a.py", "x = 1")
    first = environment._digest_of([tmp_path])
    write(tmp_path, "notes.txt", "nothing that runs")
    assert environment._digest_of([tmp_path]) == first
    write(tmp_path, "a.py", "x = 2")
    assert environment._digest_of([tmp_path]) != first


@pytest.mark.slow
def test_the_code_version_can_be_asked_for_in_a_native_thread_under_gevent() -> None:
    program = """
from gevent import monkey; monkey.patch_all()
import os; os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
import django; django.setup()
from poolwise.lifecycle.environment import code_version
from poolwise.support.native_threads import start_native_thread
digests = []
start_native_thread(lambda: digests.append(code_version()), "digest")
import time
for _ in range(500):
    if digests: break
    time.sleep(0.02)
raise SystemExit(0 if digests == [code_version()] else 1)
"""
    assert subprocess.run([sys.executable, "-c", program], timeout=120).returncode == 0
