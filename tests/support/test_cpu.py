"""The cores that a process may use, and the slots of prefork that follow from them."""

import runpy
from pathlib import Path

import pytest

from poolwise.support import cpu
from poolwise.support.cpu import cpu_quota
from tests import ROOT


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({"cpu.max": "150000 100000\n"}, 1.5),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu/cpu.cfs_quota_us": "50000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 0.5),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ({"cpu.max": ""}, None),
        ({}, None),
    ],
)
def test_the_quota_is_read_from_either_version_of_control_groups(
    tmp_path: Path, files: dict[str, str], quota: float | None
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert cpu_quota(tmp_path) == quota


@pytest.mark.parametrize(
    ("quota", "usable", "whole"),
    [(None, 4.0, 4), (1.5, 1.5, 2), (16.0, 4.0, 4), (0.2, 0.2, 1), (2.0, 2.0, 2)],
)
def test_usable_cores_are_no_more_than_the_quota(
    quota: float | None, usable: float, whole: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu, "cores", lambda: 4)
    monkeypatch.setattr(cpu, "cpu_quota", lambda: quota)
    assert cpu.usable_cores() == usable
    assert cpu.whole_cores() == whole


def test_prefork_has_no_more_slots_than_the_quota_can_keep_busy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("PREFORK_CONCURRENCY", "JOB_POOLS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(cpu, "cores", lambda: 64)
    monkeypatch.setattr(cpu, "cpu_quota", lambda: 1.5)
    settings = runpy.run_path(str(ROOT / "project/settings.py"))
    assert settings["JOB_POOLS"]["prefork"]["concurrency"] == 2
