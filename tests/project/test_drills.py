"""The drills themselves: the checker finds every kind of loss, and a sample of faults causes none."""

import ast
import math
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest

from dev.own_redis import OwnRedis
from drills import app, checker, odd, proof
from drills.database import Database
from drills.endings import ODD
from drills.faults import FAULTS, Scale
from drills.run import Cell, run_drill
from drills.site import POOLS, DrillError
from drills.table import table
from poolwise import definitions
from poolwise.support.errors import UnknownDefinition
from tests import ROOT
from tests.helpers.pace import eventually

pytestmark = pytest.mark.slow

ID = uuid4().hex
GOOD: dict[str, Any] = {
    "id": ID, "pool": "gevent", "state": "succeeded", "attempt": 2, "max_attempts": 3,
    "definition": "drill.effect", "error_type": "",
    "history": [{"attempt": 1, "error_type": "WorkerLost"}], "created_at": 100.0, "started_at": 101.0, "finished_at": 102.0,
    "recorded_at": 102.5, "broker_wait_s": 0.5, "worker_wait_s": 0.5, "run_s": 1.0, "record_lag_s": 0.5,
}  # fmt: skip
LINES = {ID: Counter({1: 1, 2: 1})}
RESULTS: dict[str, list[tuple[str, str | None]]] = {ID: [("SUCCESS", '{"attempt": 2}')]}
OUTCOMES = {ID: [("running", "succeeded", 2)]}
STOPPED = {"state": "failed", "error_type": "TimeLimitExceeded"}
FAILURE: dict[str, list[tuple[str, str | None]]] = {ID: [("FAILURE", None)]}


def judge(changes: dict[str, Any] | None = None, **options: Any) -> dict[str, int]:
    """Return what a job that is good but for these changes is counted for."""
    given: dict[str, Any] = {
        "accepted": {ID: "gevent"}, "lines": LINES, "results": RESULTS, "outcomes": OUTCOMES, **options,
    }  # fmt: skip
    return dict(checker.judge([{**GOOD, **(changes or {})}], **given).pools["gevent"])


def test_a_job_that_ran_twice_and_was_recorded_once_is_no_fault() -> None:
    assert judge() == {"accepted": 1, "committed": 1, "odd": 0, "extra_starts": 1}


@pytest.mark.parametrize(
    ("changes", "options", "fault"),
    [
        ({"state": "running"}, {}, "lost"),
        ({}, {"accepted": {ID: "gevent", uuid4().hex: "gevent"}}, "lost"),
        ({"state": "failed"}, {"results": {ID: [("FAILURE", None)]}}, "failed"),
        ({}, {"outcomes": {ID: OUTCOMES[ID] * 2}}, "duplicated"),
        ({}, {"outcomes": {ID: [("succeeded", "failed", 2)]}}, "duplicated"),
        ({}, {"lines": {ID: Counter({1: 2})}}, "without_line"),
        ({}, {"results": {}}, "result_differs"),
        ({}, {"results": {ID: [("SUCCESS", '{"attempt": 1}')]}}, "result_differs"),
        ({}, {"results": {ID: RESULTS[ID] * 2}}, "result_differs"),
        ({"max_attempts": 1}, {}, "attempts_exceeded"),
        ({"history": []}, {}, "history_broken"),
        ({"history": [{"attempt": 1, "error_type": "ValueError"}]}, {}, "history_broken"),
        ({"definition": "odd.waits"}, {}, "wrong_ending"),
        ({**STOPPED, "definition": "odd.exits"}, {"results": FAILURE}, "wrong_ending"),
        ({**STOPPED, "definition": "odd.leaks"}, {"results": FAILURE}, "failed"),
        ({"started_at": 99.0}, {}, "bad_timings"),
        ({"finished_at": 100.5}, {}, "bad_timings"),
        ({"worker_wait_s": -0.1}, {}, "bad_timings"),
    ],
)
def test_the_checker_finds_each_kind_of_fault(
    changes: dict[str, Any], options: dict[str, Any], fault: str
) -> None:
    assert judge(changes, **options)[fault] == 1


@pytest.mark.parametrize(
    ("pool", "error_type"),
    [("prefork", "MemoryLimitExceeded"), ("gevent", ""), ("gevent", "MemoryLimitExceeded")],
)
def test_an_odd_job_has_to_end_as_is_right_on_its_pool(pool: str, error_type: str) -> None:
    ended = {"state": "failed", "error_type": error_type} if error_type else {}
    job = {**GOOD, **ended, "definition": "odd.grows", "pool": pool}
    results = FAILURE if error_type else RESULTS
    counts = checker.judge([job], {ID: pool}, LINES, results, OUTCOMES)
    assert counts.pools[pool]["odd"] == 1
    assert counts.is_good is ((pool == "gevent") != bool(error_type))


def test_each_odd_job_has_a_right_ending_on_each_pool() -> None:
    source = ast.parse((ROOT / "drills/app/odd.py").read_text())
    functions = [each for each in source.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)]
    jobs = {f"odd.{each.name}" for each in functions if each.decorator_list and each.name[0] != "_"}
    assert jobs == {*ODD, "odd.neighbour"}
    assert {tuple(endings) for endings in ODD.values()} == {POOLS}


def test_what_is_left_of_a_platform_is_found_whoever_its_parent_is_and_ended(tmp_path: Path) -> None:
    site: Any = SimpleNamespace(folder=tmp_path, parts={})
    command = ["sh", "-c", "setsid sleep 601 & wait"]
    environment = {**os.environ, "POOLWISE_DRILL_FOLDER": str(tmp_path)}
    with odd._killed_at_the_end(site), subprocess.Popen(command, env=environment) as process:
        eventually(lambda: len(odd._processes(site)) == 2)
        process.kill()
        process.wait()
        [hanging, left] = odd._end(site, within_s=0.0)
        assert hanging.startswith("programs of stopped jobs run still")
        assert left.startswith("1 processes are left: ")
    eventually(lambda: not odd._processes(site))
    assert list(odd._end(site)) == []


def test_clocks_that_a_drill_moved_apart_are_no_fault_but_negative_durations_are() -> None:
    assert "bad_timings" not in judge({"started_at": -3500.0}, clock_tolerance_s=3700.0)
    assert judge({"started_at": -3500.0, "run_s": -1.0}, clock_tolerance_s=3700.0)["bad_timings"] == 1


def test_the_table_marks_what_is_broken() -> None:
    lost = Cell("worker-kill", "gevent", {"accepted": 9, "lost": 1}, 3, True, 16.2, 15.0)
    slow = Cell("worker-kill", "threads", {"accepted": 9}, 3, True, 16.2, 15.0)
    skipped = Cell("disk-full", "gevent", skipped="needs root")
    good = Cell("redis-wipe", "gevent", {"accepted": 9}, 3, True, 3.0, 15.0)
    assert [cell.is_good for cell in (lost, slow, skipped, good)] == [False, False, True, True]
    text = table([lost, slow, skipped, good])
    assert text.count("BROKEN; over its 15 s") == 2
    assert "skipped: needs root" in text


def test_a_production_platform_has_neither_the_job_of_drills_nor_the_crash_points() -> None:
    with pytest.raises(UnknownDefinition):
        definitions.get("drill.effect")
    assert f"{app.__name__}.crash_points" not in sys.modules


@pytest.mark.parametrize(
    "environment", [{}, {"POOLWISE_DRILL_FOLDER": "x", "DEBUG": "false", "SECRET_KEY": "k" * 50}]
)
def test_the_settings_of_the_drills_refuse_any_other_use(environment: dict[str, str]) -> None:
    own = {**os.environ, "DJANGO_SETTINGS_MODULE": "drills.settings", **environment}
    done = subprocess.run(
        [sys.executable, "manage.py", "check"], cwd=ROOT, env=own, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "are for `make drill` alone" in done.stderr


@dataclass
class RedisSite:
    """A platform that is only a Redis."""

    redis: OwnRedis

    def wait(self, seconds: float) -> None:
        """Go on at once."""


@pytest.fixture
def redis_site(tmp_path: Path) -> Iterator[Any]:
    own = OwnRedis(tmp_path, durable=True)
    own.start()
    yield RedisSite(own)
    own.kill()


@pytest.mark.services
def test_a_restart_of_redis_keeps_its_data_and_a_wipe_loses_them(redis_site: Any) -> None:
    proof.restart_redis(redis_site, wipe=False)
    proof.restart_redis(redis_site, wipe=True)
    assert redis_site.redis.client().dbsize() == 0


@pytest.mark.services
@pytest.mark.parametrize(
    ("method", "wipe", "text"), [("wipe", True, "kept its data"), ("stop", False, "Redis answered")]
)
def test_a_redis_that_was_not_wiped_or_not_ended_is_noticed(
    redis_site: Any, monkeypatch: pytest.MonkeyPatch, method: str, wipe: bool, text: str
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(redis_site.redis, method, lambda: None)
        with pytest.raises(DrillError, match=f"did not take place: .*{text}"):
            proof.restart_redis(redis_site, wipe=wipe)


@pytest.mark.parametrize("layout", ["appendonly.aof", "appendonlydir/appendonly.aof.1.incr.aof", "dump.rdb"])
def test_a_wipe_removes_the_data_of_every_version(tmp_path: Path, layout: str) -> None:
    (tmp_path / layout).parent.mkdir(exist_ok=True)
    (tmp_path / layout).write_text("data")
    OwnRedis(tmp_path, durable=True).wipe()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.services
def test_a_redis_that_answers_is_neither_frozen_nor_away(redis_site: Any) -> None:
    assert proof.redis_fault(redis_site) == ""
    redis_site.redis.freeze()
    assert proof.redis_fault(redis_site) == "silent"
    redis_site.redis.thaw()
    with redis_site.redis.client() as client:
        client.config_set("min-replicas-to-write", 1)
    assert proof.redis_fault(redis_site) == "refuses writes"
    redis_site.redis.stop()
    assert proof.redis_fault(redis_site) == "refused"


def test_a_process_that_goes_on_was_neither_killed_nor_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proof, "_END_S", 0.1)
    with subprocess.Popen(["sleep", "60"]) as process:
        with pytest.raises(DrillError, match="run still"):
            proof.require_ended([process.pid])
        with pytest.raises(DrillError, match="were not stopped"):
            proof.require_stopped([process.pid])
        process.send_signal(signal.SIGSTOP)
        proof.require_stopped([process.pid])
        process.kill()
        proof.require_ended([process.pid])
    with pytest.raises(DrillError, match="no process"):
        proof.require_ended([])


def test_a_database_that_can_be_written_is_not_locked(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'database'}")
    with pytest.raises(DrillError, match="could write"):
        proof.require_locked(database)
    with database.locked():
        proof.require_locked(database)


def test_a_disk_with_room_and_a_database_that_answers_are_noticed(tmp_path: Path) -> None:
    site: Any = SimpleNamespace(database=Database(f"sqlite:///{tmp_path / 'database'}"))
    with pytest.raises(DrillError, match="bytes were free"):
        proof.require_full(tmp_path)
    with pytest.raises(DrillError, match="answered while it was away"):
        proof.require_database_away(site)
    site.database = Database(f"sqlite:///{tmp_path / 'no folder' / 'database'}")
    proof.require_database_away(site)


@pytest.mark.parametrize(
    ("stamp", "is_moved"), [(3700.5, True), (100.5, False), (None, False), (-3499.0, False)]
)
def test_a_clock_has_moved_if_a_time_stamp_shows_it(stamp: float | None, is_moved: bool) -> None:
    assert proof._is_moved({**GOOD, "started_at": stamp}, "started_at", 3600) is is_moved


def test_every_fault_is_documented() -> None:
    page = (ROOT / "docs/drills.md").read_text()
    assert [name for name in FAULTS if f"`{name}`" not in page] == []


def test_an_unknown_fault_is_refused_with_those_that_exist(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "drills", "--fault", "earthquake"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert "redis-wipe" in done.stderr


@pytest.mark.services
def test_a_sample_of_faults_loses_nothing_and_records_nothing_twice() -> None:
    [cell] = run_drill(FAULTS["sampler"], ["gevent"], Scale())
    cell.budget_s = math.inf  # how soon is for `make drill` to say, with nothing run beside
    assert cell.is_good, table([cell])
    assert cell.caught > 60
    assert cell.counts["extra_starts"] > 0
