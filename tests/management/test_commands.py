import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import psutil
import pytest
from django.core.management import CommandError, call_command

from dev.own_redis import OwnRedis
from poolwise.lifecycle.broker import web_connection
from poolwise.lifecycle.heartbeats import Heartbeat, coordinator_is_up, pools_up, send
from poolwise.lifecycle.messages import signed_options
from poolwise.lifecycle.stream import Ending, Outcome
from poolwise.management import local_processes
from poolwise.models import Comparison
from poolwise.worker.task import run
from tests import ROOT
from tests.helpers.core import reports
from tests.helpers.pace import becomes, eventually, limit_s


class Site:
    """`manage.py` with a Redis and a database of its own, apart from the shared platform."""

    def __init__(self, redis: OwnRedis, database: Path) -> None:
        self.redis, self.database = redis, database
        self.started: list[subprocess.Popen[str]] = []

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """Start a command; its output is one text."""
        own = {"REDIS_URL": self.redis.url, "DATABASE_URL": f"sqlite:///{self.database}"}
        process = subprocess.Popen(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT, env={**os.environ, **own, **environment}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        self.started.append(process)
        return process

    def rows(self, sql: str) -> list[Any]:
        """Return rows of the database."""
        with sqlite3.connect(self.database, timeout=10) as connection:
            rows = connection.execute(sql).fetchall()
        connection.close()
        return rows


def end(process: subprocess.Popen[str], number: int = signal.SIGTERM, timeout_s: float = 30) -> str:
    """Signal a process, wait for its end and return its output."""
    process.send_signal(number)
    return process.communicate(timeout=timeout_s)[0]


def is_running(process: psutil.Process) -> bool:
    """Return whether a process has not ended."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture(scope="module")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file."""
    path = tmp_path_factory.mktemp("database") / "empty.sqlite3"
    subprocess.run(
        [sys.executable, "manage.py", "migrate", "--verbosity", "0"],
        cwd=ROOT, env={**os.environ, "DATABASE_URL": f"sqlite:///{path}"}, check=True,
    )  # fmt: skip
    return path


@pytest.fixture
def site(own_redis: OwnRedis, empty_database: Path, tmp_path: Path) -> Iterator[Site]:
    """A site whose Redis runs; this process uses the same Redis."""
    database = tmp_path / "database.sqlite3"
    shutil.copy(empty_database, database)
    own_redis.start()
    site = Site(own_redis, database)
    yield site
    for process in site.started:
        if process.poll() is None:
            for child in psutil.Process(process.pid).children(recursive=True):
                child.kill()
            process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def send_job(definition: str, queue: str, **params: Any) -> str:
    """Put a message into a queue, for a job that is in no database."""
    job_id = str(uuid4())
    options = signed_options(job_id, 1, definition, params, published_at=time.time(), request_id="r-77")
    run.apply_async(queue=queue, connection=web_connection(), **options)
    return job_id


def endings(redis: OwnRedis) -> list[Ending]:
    return [entry.ending for entry in reports(redis.client()) if isinstance(entry, Outcome)]


# --- compare: bad input ---------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["io.wiat"], "io.wait"),
        (["io.wait", "--pools", "threads,gevnet"], "'gevnet'"),
        (["io.wait", "--pools", "threads,threads"], "each once"),
        (["io.wait", "--param", "duration_s"], "NAME=VALUE"),
        (["io.wait", "--param", "duration_s=-1"], "duration_s"),
        (["io.wait", "--param", "seconds=1"], "seconds"),
        (["io.wait", "--copies", "0"], "copies"),
        (["io.wait", "--rounds", "0"], "rounds"),
        (["io.wait", "--copies", "many"], "invalid int value"),
        (["io.wait", "--json", "/nowhere/figures.json"], "/nowhere/figures.json cannot be written"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_compare_refuses_bad_input_at_once_and_stores_nothing(
    db: None, arguments: list[str], text: str
) -> None:
    with pytest.raises(CommandError, match=text):
        call_command("compare", *arguments)
    assert not Comparison.objects.exists()


def test_compare_without_redis_names_its_address_and_leaves_nothing_planned(
    db: None, own_redis: OwnRedis, settings: Any
) -> None:
    settings.REDIS_URL = own_redis.url.replace("//", "//:secret@")
    with pytest.raises(
        CommandError, match=f"Redis does not answer at redis://127.0.0.1:{own_redis.port}/0"
    ) as caught:
        call_command("compare", "io.wait")
    assert "secret" not in str(caught.value)
    assert not Comparison.objects.exists()


def test_compare_cancels_after_its_timeout(db: None, own_keys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_processes.LocalProcesses, "start_missing", lambda self, pools: [])
    with pytest.raises(CommandError, match=r"after 0\.2 s \(threads 0/3\)"):
        call_command("compare", "io.wait", "--pools", "threads", "--copies", "3", "--timeout", "0.2")
    assert Comparison.objects.get().state == Comparison.State.CANCELLED


def test_compare_ends_when_its_comparison_is_cancelled(
    db: None, own_keys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cancel_it(self: Any, pools: Any) -> list[str]:
        Comparison.objects.update(state=Comparison.State.CANCELLED)
        return []

    monkeypatch.setattr(local_processes.LocalProcesses, "start_missing", lambda self, pools: [])
    monkeypatch.setattr(local_processes.LocalProcesses, "start_again", cancel_it)
    with pytest.raises(CommandError, match="was cancelled"):
        call_command("compare", "io.wait")


def test_a_missing_process_is_started_again_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    up, now, started = {"coordinator": True, "threads": True}, [100.0], []

    def appear(self: Any, pools: Any) -> list[str]:
        missing = [name for name, is_up in up.items() if not is_up]
        up.update(dict.fromkeys(missing, True))
        started.append(missing)
        return missing

    monkeypatch.setattr(local_processes.LocalProcesses, "start_missing", appear)
    monkeypatch.setattr(local_processes.heartbeats, "coordinator_is_up", lambda: up["coordinator"])
    monkeypatch.setattr(
        local_processes.heartbeats, "pools_up", lambda: {"threads": [1]} if up["threads"] else {}
    )
    monkeypatch.setattr(local_processes, "time", SimpleNamespace(monotonic=lambda: now[0]))
    processes = local_processes.LocalProcesses()
    for name in ("coordinator", "threads"):
        assert processes.start_again(["threads"]) == []
        up[name] = False
        now[0] += 4
        assert processes.start_again(["threads"]) == []  # it may only have missed a heartbeat
        now[0] += 2
        assert processes.start_again(["threads"]) == [name]
        assert processes.start_again(["threads"]) == []
    assert started == [["coordinator"], ["threads"]]


# --- compare: with workers ----------------------------------------------------------------------------------
@pytest.mark.services
def test_compare_starts_what_is_missing_and_stops_it_afterwards(site: Site, tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    options = [
        "--pools",
        "threads,gevent",
        "--copies",
        "4",
        "--param",
        "duration_s=0.05",
        "--json",
        str(file),
    ]
    process = site.start("compare", "io.wait", *options)
    output, _ = process.communicate(timeout=90)
    assert process.returncode == 0, output
    assert all(f"started {name}" in output for name in ("coordinator", "pool threads", "pool gevent"))
    figures = json.loads(file.read_text())
    assert {"definition": "io.wait", "params": {"duration_s": 0.05}, "copies": 4}.items() <= figures.items()
    assert [(p["name"], p["model"], p["jobs"], p["succeeded"], p["failed"]) for p in figures["pools"]] == [
        ("threads", "threads", 4, 4, 0), ("gevent", "gevent", 4, 4, 0),
    ]  # fmt: skip
    for figure in figures["pools"]:
        spreads = [figure[name] for name in ("run_s", "broker_wait_s", "worker_wait_s", "cpu_s")]
        assert all(0 <= spread["p50"] <= spread["p95"] for spread in spreads)
        assert 0.05 <= figure["run_s"]["p50"] <= figure["makespan_s"]
        assert 0 <= figure["cpu_share"] < 0.5
        assert figure["slots"] in (32, 200)
    assert "jobs/s" in output
    assert pools_up() == {}
    assert not coordinator_is_up()
    assert site.rows("select count(*) from poolwise_job where state = 'succeeded'") == [(8,)]


@pytest.mark.services
@pytest.mark.timeout(300)
def test_compare_starts_its_workers_again_between_rounds(site: Site, tmp_path: Path) -> None:
    options = ["--pools", "threads,gevent", "--budget", "2", "--param", "duration_s=0.05"]
    file = tmp_path / "report.html"
    process = site.start("compare", "io.wait", *options, "--html", str(file))
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 0, output
    probes = site.rows(
        "select pool, round, probe from poolwise_batch where role = 'measured' order by position"
    )
    pids = {
        (pool, number): json.loads(probe)["release"]["workers"][0]["pid"] for pool, number, probe in probes
    }
    for pool in ("threads", "gevent"):
        assert pids[pool, 1] == pids[pool, 2] != pids[pool, 3]
    assert "workers were started 2 times" in file.read_text()
    assert pools_up() == {}


@pytest.mark.services
def test_compare_starts_a_coordinator_when_the_other_one_ends(site: Site) -> None:
    another = site.start("coordinator")
    eventually(coordinator_is_up, timeout_s=30)
    options = ["--pools", "threads", "--copies", "2", "--param", "duration_s=3", "--rounds", "2"]
    process = site.start("compare", "io.wait", *options)
    eventually(
        lambda: site.rows("select count(*) from poolwise_job where state = 'running'") == [(2,)], timeout_s=60
    )
    end(another)
    output, _ = process.communicate(timeout=90)
    assert process.returncode == 0, output
    assert output.index("started pool threads") < output.index("started coordinator")
    assert site.rows("select state, count(*) from poolwise_job group by state") == [("succeeded", 4)]


@pytest.mark.services
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_compare_cancels_its_jobs_and_leaves_no_process(site: Site, number: int) -> None:
    process = site.start("compare", "endings.slow", "--pools", "threads", "--copies", "3")
    eventually(
        lambda: site.rows("select count(*) from poolwise_job where state = 'running'") == [(3,)], timeout_s=60
    )
    children = psutil.Process(process.pid).children(recursive=True)
    output = end(process, number)
    assert process.returncode == 130, output
    assert "Traceback" not in output
    assert len(children) >= 2
    # A worker's watchdog ends by itself after its worker.
    becomes(lambda: [child for child in children if is_running(child)], [], timeout_s=5)
    assert site.rows("select state, count(*) from poolwise_job group by state") == [("cancelled", 3)]
    assert site.rows("select state from poolwise_comparison") == [("cancelled",)]


@pytest.mark.services
def test_a_compare_that_is_interrupted_while_it_waits_plans_nothing_and_leaves_no_process(site: Site) -> None:
    site.start("pause", "threads", "--reason", "test").communicate(timeout=60)
    process = site.start("compare", "io.wait", "--pools", "threads", "--wait-until-idle")
    assert process.stdout is not None
    assert any("The pool threads is paused" in line for line in process.stdout)
    children = psutil.Process(process.pid).children(recursive=True)
    end(process, signal.SIGTERM)
    assert process.returncode == 130
    assert len(children) >= 2
    becomes(lambda: [child for child in children if is_running(child)], [], timeout_s=5)
    assert site.rows("select count(*) from poolwise_comparison") == [(0,)]


# --- pool -----------------------------------------------------------------------------------------------
def test_a_pool_that_is_unknown_or_lacks_its_library_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CommandError, match="no pool 'gevnet'; JOB_POOLS has prefork"):
        call_command("pool", "gevnet")
    monkeypatch.setattr("poolwise.pools.spec.importlib.util.find_spec", lambda name: None)
    with pytest.raises(CommandError, match="needs the package gevent"):
        call_command("pool", "gevent")


def test_a_pool_with_an_invalid_broker_url_is_not_started(settings: Any) -> None:
    settings.BROKER_URL = "rabbit://a"
    with pytest.raises(CommandError, match=r"BROKER_URL begins with 'rabbit'.* Write amqp://"):
        call_command("pool", "threads")


@pytest.mark.services
def test_a_supervised_worker_starts_again_and_ends_with_its_job_done(site: Site) -> None:
    process = site.start("pool", "threads", "--restart", "--concurrency", "2")
    [first] = eventually(lambda: pools_up().get("threads"), timeout_s=30)
    assert first.slots == 2
    os.kill(first.pid, signal.SIGKILL)
    second = eventually(
        lambda: next((w for w in pools_up().get("threads", []) if w.name != first.name), None), timeout_s=30
    )
    send_job("io.wait", "threads", duration_s=1.5)
    eventually(lambda: reports(site.redis.client()))
    output = end(process)
    assert process.returncode == 0, output
    assert "starting again" in output
    assert endings(site.redis) == [Ending.SUCCEEDED]
    assert not psutil.pid_exists(second.pid)
    assert second.name not in [worker.name for worker in pools_up().get("threads", [])]


@pytest.mark.services
def test_an_unsupervised_worker_ends_what_its_jobs_have_left_running(site: Site) -> None:
    process = site.start("pool", "gevent", DJANGO_SETTINGS_MODULE="tests.worker.stuck.settings")
    eventually(lambda: "gevent" in pools_up(), timeout_s=30)
    send_job("stuck.runs_program", "gevent", marker="left", way="leave")
    eventually(lambda: endings(site.redis) == [Ending.SUCCEEDED])
    family = psutil.Process(process.pid).children(recursive=True)
    assert "sh" in [member.name() for member in family]
    end(process)
    assert process.returncode == 0
    assert psutil.wait_procs(family, timeout=limit_s(5))[1] == []  # the watchdog as well, by itself


@pytest.mark.services
def test_every_log_line_of_a_job_names_the_job(site: Site) -> None:
    process = site.start("pool", "gevent", LOG_FORMAT="json")
    eventually(lambda: "gevent" in pools_up(), timeout_s=30)
    job_id = send_job("endings.log_lines", "gevent", count=3)
    eventually(lambda: endings(site.redis))
    lines = [json.loads(line) for line in end(process).splitlines() if line.startswith("{")]
    own = [line for line in lines if line.get("job") == job_id]
    assert {"Line 1 of 3", "structured line", "Line 3 of 3", "job ended"} <= {line["event"] for line in own}
    for line in own:
        known = {"attempt": 1, "definition": "endings.log_lines", "pool": "gevent", "request_id": "r-77"}
        assert known.items() <= line.items()
        assert line["worker"].startswith("gevent-")
        assert all(line[name] for name in ("pid", "thread", "greenlet_or_task", "timestamp", "level"))
    assert next(line for line in own if line["event"] == "job ended")["run_s"] >= 0


# --- pool_status ----------------------------------------------------------------------------------------
def status(*arguments: str) -> str:
    out = StringIO()
    call_command("pool_status", *arguments, stdout=out)
    return out.getvalue()


def test_pool_status_names_a_pool_without_a_worker_and_the_remedy(own_keys: Any) -> None:
    send(own_keys, Heartbeat("a", "threads", 1, "elsewhere"))
    with pytest.raises(
        CommandError, match=r"No worker serves the pool prefork\. Start `python manage\.py pool prefork`"
    ):
        status()
    assert "all up" in status("threads")
    with pytest.raises(CommandError, match="pool threads"):
        status("threads", "--self")


def test_pool_status_names_running_workers_without_their_broker(own_keys: Any) -> None:
    send(own_keys, Heartbeat("a", "threads", 1, "h", is_connected=False))
    with pytest.raises(CommandError, match="pool threads gets no jobs: a lost the broker"):
        status("threads")
    send(own_keys, Heartbeat("b", "threads", 2, "h"))
    assert "all up" in status("threads")


def test_pool_status_waits_and_checks_the_coordinator(own_keys: Any) -> None:
    began = time.monotonic()
    with pytest.raises(CommandError, match="No coordinator is running"):
        status("--coordinator", "--wait", "0.4")
    assert time.monotonic() - began >= 0.4
    send(own_keys, Heartbeat("c", "coordinator", 1, "h"))
    assert "all up" in status("--coordinator")


def test_pool_status_with_self_checks_no_other_host(own_keys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("POOLWISE_POOL", raising=False)
    send(own_keys, Heartbeat("c", "coordinator", 1, "elsewhere"))
    send(own_keys, Heartbeat("a", "threads", 1, "elsewhere"))
    with pytest.raises(CommandError, match="--self needs the pool"):
        status("--self")
    with pytest.raises(CommandError, match="No coordinator is running on this host"):
        status("--coordinator", "--self")
    send(own_keys, Heartbeat("d", "coordinator", 2, socket.gethostname()))
    assert "all up" in status("--coordinator", "--self")
    monkeypatch.setenv("POOLWISE_POOL", "threads")
    with pytest.raises(CommandError, match="No worker serves the pool threads on this host"):
        status("--self")
    send(own_keys, Heartbeat("b", "threads", 2, socket.gethostname()))
    assert "all up" in status("--self")


def test_pool_status_reports_an_unavailable_redis(own_redis: OwnRedis) -> None:
    with pytest.raises(CommandError, match="Redis does not answer"):
        status("threads")


@pytest.mark.services
@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_worker_without_its_broker_reports_it_and_continues_later(
    site: Site, tmp_path: Path, pool: str
) -> None:
    broker, file = OwnRedis(tmp_path / "broker"), tmp_path / "alive"
    broker.directory.mkdir()
    broker.start()
    elsewhere = {
        name: broker.url for name in ("BROKER_URL", "CELERY_BROKER_URL")
    }  # the tests set Celery's own
    worker = site.start("pool", pool, JOB_HEARTBEAT_FILE=str(file), JOB_HEARTBEAT_S="0.5", **elsewhere)
    try:
        eventually(lambda: "all up" in status(pool, "--wait", "30") and file.exists(), timeout_s=40)
        broker.kill()
        eventually(lambda: not pools_up()[pool][0].is_connected, timeout_s=30)
        touched = file.stat().st_mtime
        with pytest.raises(CommandError, match=f"pool {pool} gets no jobs"):
            status(pool)
        time.sleep(1.5)
        assert file.stat().st_mtime == touched
        broker.start()
        assert "all up" in status(pool, "--wait", "30")
        assert file.stat().st_mtime > touched
        assert worker.poll() is None
    finally:
        broker.kill()


# --- coordinator ----------------------------------------------------------------------------------------
@pytest.mark.services
def test_a_coordinator_starts_before_redis_and_ends_cleanly_on_sigterm(site: Site) -> None:
    site.redis.kill()
    process = site.start("coordinator")
    time.sleep(1.5)
    site.redis.start()
    eventually(coordinator_is_up, timeout_s=30)
    output = end(process)
    assert process.returncode == 0, output
    assert "Traceback" not in output
    assert not coordinator_is_up()


@pytest.mark.services
def test_a_job_submitted_while_redis_is_down_runs_when_it_is_back(site: Site) -> None:
    site.start("coordinator")
    site.start("pool", "threads")
    eventually(lambda: coordinator_is_up() and "threads" in pools_up(), timeout_s=30)
    site.redis.kill()
    submit = "from poolwise import submit; submit('io.wait', {'duration_s': 0.1}, pool='threads', copies=3)"
    assert site.start("shell", "-c", submit).wait(30) == 0
    assert site.rows("select distinct state from poolwise_job") == [("queued",)]
    site.redis.start()
    becomes(lambda: site.rows("select distinct state from poolwise_job"), [("succeeded",)], timeout_s=30)
    assert site.rows("select max(attempt) from poolwise_job") == [(1,)]
