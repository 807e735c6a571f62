"""A platform of a drill's own: Redis, database, workers, coordinators, web and a submitter, all real processes."""

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Self

import psutil
import redis

from dev.lifetime import die_with_parent
from dev.own_postgres import OwnPostgres
from dev.own_redis import OwnRedis
from dev.ports import LOOPBACK, free_port
from drills.database import Database, DatabaseAway
from drills.machine import Machine
from drills.tracker import Tracker

ROOT = Path(__file__).resolve().parent.parent
POOLS = ("prefork", "threads", "gevent", "asyncio")
SLOTS = {"prefork": 4, "threads": 16, "gevent": 100, "asyncio": 100}
START_TIMEOUT_S = 90.0
_TEND_EVERY_S = 0.1
#: Of the caller's own platform; nothing of it may leak into a drill's.
_FOREIGN = (
    "JOB_POOLS", "BROKER_URL", "DATABASE_URL", "POOLWISE_POOL", "LOG_FORMAT", "JOB_KEY_PREFIX", "JOB_HEARTBEAT_S",
    "JOB_WORKER_DEAD_AFTER_S", "CELERY_BROKER_URL",
)  # fmt: skip


class DrillError(Exception):
    """The platform could not be brought to the state in which the drill begins."""


@dataclass(slots=True)
class SitePart:
    """A process of the platform and how to start it again."""

    name: str
    command: list[str]
    environment: dict[str, str]
    process: subprocess.Popen[bytes] | None = None
    is_wanted: bool = True
    starts: int = 0

    @property
    def pid(self) -> int:
        """Return the process' number. Raise DrillError when it does not run."""
        if self.process is None or self.process.poll() is not None:
            raise DrillError(f"{self.name} does not run")
        return self.process.pid


@dataclass(slots=True)
class Plan:
    """The processes and settings of a drill's platform."""

    pools: tuple[str, ...] = POOLS
    workers: int = 1  # of each pool
    coordinators: int = 1
    supervised: bool = False  # each worker is the child of its part, which starts it again
    web: bool = False
    database: str = "sqlite"
    environment: Mapping[str, str] = field(default_factory=dict)
    #: More environment for parts whose names begin so: worker names are `<pool>-1`, `<pool>-2`.
    environment_of: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    #: On which machine parts run whose names begin so.
    elsewhere: Mapping[str, Machine] = field(default_factory=dict)
    slots: Mapping[str, int] = field(default_factory=lambda: dict(SLOTS))
    seed: int = 0


class Site:
    """Starts the platform, starts again what dies, and ends it."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        self.folder, self.plan, self.pools = folder, plan, plan.pools
        self.parts: dict[str, SitePart] = {}
        self.groups: list[int] = []  # of every process ever started: prefork's children outlive their parent
        hosts = sorted({machine.host for machine in plan.elsewhere.values()})
        self.redis = OwnRedis(folder / "redis", durable=True, also_at=hosts)
        self.postgres = OwnPostgres(folder / "pg") if plan.database == "postgres" else None
        self.database_folder = folder / "database"
        url = self.postgres.url if self.postgres else f"sqlite:///{self.database_folder / 'database.sqlite3'}"
        self.database = Database(url)
        self.tracker = Tracker(self.database, folder / "runs")
        self.submitter_fixed: list[str] = []
        self._orders: list[dict[str, Any]] = []
        self.web_port = free_port()

    # --- start and end
    def __enter__(self) -> Self:
        """Start everything and wait until each pool's workers and the coordinators have sent a heartbeat."""
        for name in ("redis", "database", "armed", "crashed", "logs", "pg"):
            (self.folder / name).mkdir(exist_ok=True)
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End everything at once."""
        self.close()

    def _start(self) -> None:
        self.redis.start()
        if self.postgres:
            self.folder.chmod(0o711)  # the server runs as another user, who has to pass through
            self.postgres.create()
            self.postgres.start()
        self.manage("migrate", "--verbosity", "0")
        self.database.watch_outcomes()
        for number in range(1, self.plan.coordinators + 1):
            self._add(f"coordinator-{number}", [sys.executable, "manage.py", "coordinator"])
        restart = ["--restart"] if self.plan.supervised else []
        for pool in self.pools:
            for number in range(1, self.plan.workers + 1):
                self._add(f"{pool}-{number}", [sys.executable, "manage.py", "pool", pool, *restart])
        if self.plan.web:
            self._start_web()
        command = [sys.executable, "-m", "drills.submitter", "--pools", ",".join(self.pools)]
        command += ["--seed", str(self.plan.seed), *self.submitter_fixed]
        self._add("submitter", command)
        self.until(lambda: (self.folder / "submitter-ready").exists(), START_TIMEOUT_S, "the submitter")
        self.until_up()

    def _start_web(self) -> None:
        password = secrets.token_urlsafe(12)
        self.manage(
            "createsuperuser", "--noinput", "--username", "drill", "--email", "drill@example.org",
            DJANGO_SUPERUSER_PASSWORD=password,
        )  # fmt: skip
        command = [sys.executable, "-m", "gunicorn", "project.wsgi", "--bind", f"{LOOPBACK}:{self.web_port}"]
        self._add("web", [*command, "--threads", "4", "--no-control-socket", "--log-level", "warning"])
        address = f"{LOOPBACK}:{self.web_port}"
        self.until(partial(_listens, self.web_port), START_TIMEOUT_S, "the web server")
        self.submitter_fixed = ["--http", f"http://drill:{password}@{address}"]

    def environment(self) -> dict[str, str]:
        """Return what every process gets: the default settings, for a platform of the drill's own."""
        pools = {p: {"model": p, "queue": p, "concurrency": self.plan.slots[p]} for p in POOLS}
        return {
            **{name: value for name, value in os.environ.items() if name not in _FOREIGN},
            "DJANGO_SETTINGS_MODULE": "drills.settings",
            "POOLWISE_DRILL_FOLDER": str(self.folder),
            "DEBUG": "true",
            "REDIS_URL": self.redis.url,
            "DATABASE_URL": self.database.url,
            "JOB_POOLS": json.dumps(pools),
            "JOB_FILES_DIR": str(self.folder / "files"),
            "PYTHONUNBUFFERED": "1",
            **self.plan.environment,
        }

    def manage(self, *arguments: str, **environment: str) -> None:
        """Run a management command to its end. Raise DrillError."""
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT, env={**self.environment(), **environment}, capture_output=True, text=True,
        )  # fmt: skip
        if done.returncode:
            raise DrillError(f"manage.py {arguments[0]}: {done.stderr[-2000:]}")

    def _add(self, name: str, command: list[str]) -> None:
        extra = {
            key: value
            for prefix, more in self.plan.environment_of.items()
            if name.startswith(prefix)
            for key, value in more.items()
        }
        for prefix, machine in self.plan.elsewhere.items():
            if name.startswith(prefix):
                command = [*machine.run, *command]
                extra["REDIS_URL"] = f"redis://{machine.host}:{self.redis.port}/0"
        self.parts[name] = SitePart(name, command, {**self.environment(), **extra})
        self.spawn(name)

    def spawn(self, name: str) -> None:
        """Start a part (again)."""
        part = self.parts[name]
        with (self.folder / "logs" / f"{name}.log").open("ab") as log:
            part.process = subprocess.Popen(
                part.command,
                cwd=ROOT,
                env=part.environment,
                stdin=subprocess.PIPE if name == "submitter" else subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=partial(die_with_parent, signal.SIGKILL),
            )
        part.starts += 1
        part.is_wanted = True
        self.groups.append(part.process.pid)
        if name == "submitter":
            for order in self._orders:
                self._send_order(order)

    def close(self) -> None:
        """Kill whatever still runs."""
        for group in self.groups:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(group, signal.SIGKILL)
        for part in self.parts.values():
            if part.process:
                part.process.wait()
                if part.process.stdin:
                    with suppress(OSError):
                        part.process.stdin.close()
        with suppress(ProcessLookupError):
            self.redis.kill()
        if self.postgres:
            self.postgres.stop(signal.SIGQUIT)

    # --- waiting; meanwhile what died is started again, as a supervisor does
    def tend(self) -> None:
        """Start again what has died, and follow the recovery."""
        for name, part in self.parts.items():
            if part.is_wanted and part.process is not None and part.process.poll() is not None:
                self.spawn(name)
        self.tracker.check()

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        until_mono = time.monotonic() + seconds
        while (left_s := until_mono - time.monotonic()) > 0:
            self.tend()
            time.sleep(min(left_s, _TEND_EVERY_S))

    def until(self, condition: Callable[[], Any], timeout_s: float, what: str) -> None:
        """Wait for a condition. Raise DrillError."""
        until_mono = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > until_mono:
                raise DrillError(f"{what}: not within {timeout_s:.0f} s; logs in {self.folder / 'logs'}")
            self.tend()
            time.sleep(_TEND_EVERY_S)

    def until_up(self) -> None:
        """Wait until every worker and coordinator that is wanted has sent a heartbeat."""
        self.until(self._is_up, START_TIMEOUT_S, "heartbeats")

    def _is_up(self) -> bool:
        parts = [part for name, part in self.parts.items() if name not in ("submitter", "web")]
        running = [part for part in parts if part.process is not None and part.process.poll() is None]
        seen = self._seen_pids()
        return len(running) == len(parts) and all(
            seen & {part.pid, *(self.children(part.name) if self.plan.supervised else ())} for part in running
        )

    def _seen_pids(self) -> set[int]:
        return {pid for pid, _ in self._heartbeats().values()}

    def _heartbeats(self) -> dict[str, tuple[int, float]]:
        """Return the process number and the time of each worker's last heartbeat, by name; empty without Redis."""
        with suppress(redis.RedisError), self.redis.client() as client:
            sent: dict[str, str] = client.hgetall("poolwise:heartbeats")
            at = dict(client.zrange("poolwise:heartbeats:at", 0, -1, withscores=True))
            pids = {name: json.loads(text.partition(" ")[2])["pid"] for name, text in sent.items()}
            return {name: (pid, at.get(name, 0.0)) for name, pid in pids.items()}
        return {}

    def until_renewed(self, pids: Iterable[int]) -> None:
        """Wait until each of these workers has sent a new heartbeat."""
        old = self._heartbeats()
        wanted = {name for name, (pid, _) in old.items() if pid in set(pids)}
        self.until(
            lambda: all(self._heartbeats().get(name, old[name]) != old[name] for name in wanted),
            START_TIMEOUT_S, "new heartbeats of the machine",
        )  # fmt: skip

    def drain(self, timeout_s: float) -> bool:
        """Stop the load and wait until no job is live; return whether that happened in time."""
        idle = self.folder / "submitter-idle"
        idle.unlink(missing_ok=True)
        self.load(rate_per_s=0)
        until_mono = time.monotonic() + timeout_s
        while not idle.exists() and time.monotonic() < until_mono:
            self.wait(0.2)
        while time.monotonic() < until_mono:
            self.wait(0.5)
            with suppress(DatabaseAway):
                if not self.database.live():
                    return True
        return False

    # --- load
    def _send_order(self, order: Mapping[str, Any]) -> None:
        process = self.parts["submitter"].process
        assert process is not None
        assert process.stdin is not None
        with suppress(OSError):  # it has just died: its successor gets the orders again
            process.stdin.write(json.dumps(order).encode() + b"\n")
            process.stdin.flush()

    def load(self, *, rate_per_s: float, longest_s: float = 0.5, batch: int = 1, **more: Any) -> None:
        """Submit this many jobs a second to each pool from now on, in batches; see `drills.submitter`."""
        order = {"rate_per_s": rate_per_s, "longest_s": longest_s, "batch": batch, **more}
        self._orders = [order]
        self._send_order(order)

    def burst(self, pool: str, jobs: int, longest_s: float) -> None:
        """Submit jobs at once."""
        self._send_order({"burst": jobs, "pool": pool, "longest_s": longest_s})

    # --- faults
    def workers(self, pool: str) -> list[SitePart]:
        """Return the parts that are a pool's workers."""
        return [self.parts[f"{pool}-{number}"] for number in range(1, self.plan.workers + 1)]

    def signal(self, name: str, signum: int) -> None:
        """Send a signal to the one process of a part. Raise DrillError when it does not run."""
        os.kill(self.parts[name].pid, signum)

    def children(self, name: str) -> list[int]:
        """Return the numbers of a part's child processes."""
        return [child.pid for child in psutil.Process(self.parts[name].pid).children()]

    def arm(self, file: str, victim: str = "process") -> None:
        """Arm a crash point."""
        (self.folder / "armed" / file).write_text(victim)

    def has_crashed(self, file: str) -> bool:
        """Return whether an armed point was reached."""
        return (self.folder / "crashed" / file).exists()


def _listens(port: int) -> bool:
    import socket

    with socket.socket() as probe:
        return probe.connect_ex((LOOPBACK, port)) == 0
