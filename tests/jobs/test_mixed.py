"""Jobs that wait and compute in turns."""

from pathlib import Path

import pytest

from tests.jobs.conftest import Bodies


@pytest.mark.parametrize("rows", [1, 500])
def test_a_report_adds_up_every_row(run: Bodies, files: Path, rows: int) -> None:
    [result] = run("mixed.csv_report", rows=rows)
    assert result["rows"] == rows
    assert sum(result["by_region"].values()) == result["cents"] > 0
    assert result["bytes"] > rows * len("1,east,1\r\n")
    assert list(files.iterdir()) == []


@pytest.mark.usefixtures("files")
def test_a_report_is_the_same_for_the_same_seed(run: Bodies) -> None:
    assert run("mixed.csv_report", rows=50, seed=1) == run("mixed.csv_report", rows=50, seed=1)
    assert run("mixed.csv_report", rows=50, seed=1) != run("mixed.csv_report", rows=50, seed=2)
