"""The benchmark of peers: how it starts and freezes workers, what it computes from rounds, and what its tables show."""

import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest

from benchmarks.peers import chart, light, processes, report
from benchmarks.peers.measuring import measure, percentile
from benchmarks.peers.run import Machine, Plan, described
from benchmarks.peers.servers import running
from benchmarks.peers.systems import SYSTEMS, chosen
from benchmarks.peers.workloads import WORKLOADS
from tests import ROOT
from tests.helpers.pace import eventually


def _row(system: str, number: int, rate: float, **more: Any) -> dict[str, Any]:
    cpu_us = {"workers": 1e6 / rate, "redis": 100.0}
    row = {"system": system, "workload": "empty", "database": "postgres", "round": number, "rate": rate}
    total = {"cpu_us": cpu_us, "total_cpu_us": sum(cpu_us.values()), "ideal_s": 0.0, "ideal_share": 0.0}
    return {**row, **total, "lag_p99_s": None, **more}


def _run(rows: list[dict[str, Any]], limits: Mapping[str, list[float]] | None = None) -> dict[str, Any]:
    names = {row["system"] for row in rows}
    system = {"settings": "as it comes", "note": "stores all", "database": "own", "versions": ["it 1.0"]}
    machine = {
        "begun": "2026-11-30 21:00",
        "cores": 2,
        "rounds": 2,
        "versions": {"Python": "3.13"},
        "servers": "-",
    }
    return {**machine, "limits": limits or {}, "systems": dict.fromkeys(names, system), "measured": rows}


# --- figures
def test_a_peer_is_compared_with_the_same_pool_in_the_same_round() -> None:
    rows = [
        _row("poolwise-gevent", 1, 300.0),
        _row("poolwise-gevent", 2, 30.0),
        _row("poolwise-threads", 1, 7.0),
    ]
    rows += [_row("celery-django-db-gevent", 1, 100.0), _row("celery-django-db-gevent", 2, 10.0)]
    by_system = report.rounds_by_system(rows)
    assert report.against("celery-django-db-gevent", by_system) == pytest.approx((3.0, 3.0, 3.0))
    assert report.against("poolwise-gevent", by_system) is None


def test_a_peer_without_such_a_pool_is_compared_with_threads() -> None:
    by_system = report.rounds_by_system([_row("poolwise-threads", 1, 50.0), _row("huey", 1, 100.0)])
    assert report.against("huey", by_system) == pytest.approx((0.5, 0.5, 0.5))
    assert report.against("huey", report.rounds_by_system([_row("huey", 1, 100.0)])) is None


def test_the_limit_is_the_nearer_one_of_broker_and_rows() -> None:
    limits = {"Redis round trips/s": 5_000.0, "rows/s, postgres": 2_000.0}
    assert report.limit_of("empty", "postgres", True, limits) == 2_000.0
    assert report.limit_of("empty", "postgres", False, limits) == 5_000.0
    assert report.limit_of("wait", "postgres", True, limits) is None
    assert report.limit_of("empty", "postgres", True, {}) is None


@pytest.mark.parametrize(("percent", "value"), [(50, 2.0), (75, 3.0), (99, 4.0)])
def test_a_percentile_is_a_value_of_the_sample(percent: float, value: float) -> None:
    assert percentile([4.0, 1.0, 3.0, 2.0], percent) == value
    assert percentile([], percent) is None


def test_waits_are_as_many_as_fill_the_slots_four_times() -> None:
    assert WORKLOADS["wait"].jobs_on(500) == 2_000
    assert WORKLOADS["wait"].jobs_on(2) == 20
    assert WORKLOADS["wait"].ideal_s(2_000, 500, cores=2) == pytest.approx(0.4)
    assert WORKLOADS["compute"].ideal_s(200, 20, cores=2) == pytest.approx(2.0)
    assert WORKLOADS["empty"].jobs_on(2, 7) == 7


# --- tables
def test_a_table_has_medians_ratios_and_shares() -> None:
    rows = [_row("poolwise-threads", number, rate) for number, rate in ((1, 100.0), (2, 200.0))]
    rows += [_row("huey", number, 400.0, ideal_s=0.4, ideal_share=0.25) for number in (1, 2)]
    text = report.tables(_run(rows, {"Redis round trips/s": [2_000.0, 2_000.0]}))
    first, second = (
        line.split(" | ") for line in text.splitlines() if line.startswith(("| huey", "| poolwise"))
    )
    assert first[:4] == ["| huey", "400", "400–400", "2.60"]
    assert first[4] == "2.50 + – + 0.10 + –"
    assert first[6] == "25% of ideal"
    assert second[:3] == ["| poolwise-threads", "150", "100–200"]
    assert second[6] == "7.5%"
    assert "- huey: it 1.0; as it comes" in text


def test_how_soon_outcomes_are_stored_has_a_table() -> None:
    rows = [
        _row("poolwise-threads", number, 100.0, lag_p99_s=lag_s) for number, lag_s in ((1, 0.1), (2, 0.3))
    ]
    assert "| poolwise-threads | 0.20 | 0.10–0.30 |" in report.tables(_run(rows))


@pytest.mark.slow
def test_a_chart_is_a_picture(tmp_path: Path) -> None:
    chart.write(_run([_row("huey", 1, 100.0), _row("rq", 1, 10.0)]), tmp_path / "chart.svg")
    assert "huey" in (tmp_path / "chart.svg").read_text()


# --- systems
def test_a_name_stands_for_all_that_begin_with_it() -> None:
    assert [system.name for system in chosen(["poolwise", "rq", "poolwise-gevent"])] == [
        *(f"poolwise-{pool}" for pool in ("prefork", "threads", "gevent", "asyncio")), "rq",
    ]  # fmt: skip
    with pytest.raises(ValueError, match="unknown: celer"):
        chosen(["rq", "celer"])


@pytest.mark.parametrize("system", SYSTEMS.values(), ids=list(SYSTEMS))
def test_every_system_has_tasks_a_note_and_pinned_packages(system: Any) -> None:
    assert list((ROOT / "benchmarks/peers/apps").glob(f"{system.app}*"))
    assert system.note
    assert system.settings
    pins = {
        "": "requirements.txt",
        "peers": "benchmarks/requirements.txt",
        "arq": "benchmarks/requirements-arq.txt",
    }
    pinned = (ROOT / pins[system.venv]).read_text().lower()
    assert all(f"\n{package}==" in pinned or f"\n{package}[" in pinned for package in system.packages)


def test_peers_get_the_versions_that_poolwise_gets() -> None:
    own, theirs = (_pins(name) for name in ("requirements.txt", "benchmarks/requirements.txt"))
    assert {name: own[name] for name in own.keys() & theirs.keys()} == {
        name: theirs[name] for name in own.keys() & theirs.keys()
    }


def _pins(name: str) -> dict[str, str]:
    lines = (line.partition("#")[0].strip().lower() for line in (ROOT / name).read_text().splitlines())
    return {
        package.replace("_", "-"): pin for package, _, pin in (line.partition("==") for line in lines) if pin
    }


# --- processes
def test_frozen_processes_stand_still_with_their_children(tmp_path: Path) -> None:
    command = processes.several([sys.executable, "-c", "import time; time.sleep(60)"], 2)
    with processes.running(command, os.environ, tmp_path / "log") as pid:
        eventually(lambda: len(processes.tree(pid)) == 3)
        everyone = processes.tree(pid)
        with processes.frozen(pid):
            eventually(lambda: {one.status() for one in everyone} == {psutil.STATUS_STOPPED})
        eventually(lambda: psutil.STATUS_STOPPED not in {one.status() for one in everyone})
    assert not any(one.is_running() for one in everyone)


def test_cpu_time_has_that_of_children_that_ended(tmp_path: Path) -> None:
    computing = "import time\nwhile time.process_time() < 0.2: pass"
    code = (
        f"import subprocess, sys, time; subprocess.run([sys.executable, '-c', {computing!r}]); time.sleep(60)"
    )
    with processes.running([sys.executable, "-c", code], os.environ, tmp_path / "log") as pid:
        eventually(lambda: processes.cpu_s(pid) >= 0.2 and len(processes.tree(pid)) == 1)


@pytest.mark.slow
@pytest.mark.services
def test_celery_is_measured_in_a_round() -> None:
    plan = Plan(chosen(["celery-ignored-threads"]), [WORKLOADS["empty"]], ["sqlite"], rounds=1)
    with running("sqlite", durable=False) as servers:
        one = measure(plan.systems[0], WORKLOADS["empty"], servers, number=1, wanted=20)
    run = described(plan, [one], Machine())
    assert one.jobs == 20
    assert 0 < one.first_s <= one.bodies_s == one.stored_s
    assert set(one.cpu_us) == {"workers", "redis"}
    assert run["measured"][0]["rate"] == pytest.approx(20 / one.stored_s)
    assert "| celery-ignored-threads |" in report.tables(run)


class _App:
    """A system whose outcomes are visible at once."""

    def stored(self, ids: list[int]) -> list[int]:
        return ids


def test_who_submits_too_slowly_looks_for_outcomes_all_the_same() -> None:
    waiting = light.Waiting(_App())
    waiting.began[1] = time.monotonic()
    waiting.until(time.monotonic() - 1.0)
    assert not waiting.began
    assert 0 <= waiting.visible_s[0] < 1
