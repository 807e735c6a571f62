"""Real workers of each pool, on the tests' Redis."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import redis

from tests import ROOT

#: A database of its own on the tests' Redis.
URL = os.environ["REDIS_URL"].removesuffix("/0") + "/9"
os.environ["POOLS_TEST_REDIS"] = URL

from tests.helpers.pace import eventually  # noqa: E402
from tests.pools import celeryapp  # noqa: E402 - it reads the environment

OURS = ("threads", "gevent", "asyncio")
ALL = ("prefork", *OURS)


class Worker:
    """One worker process; its queue and its name are unique to it."""

    def __init__(self, pool: str, name: str, log: Path, *options: str, **environment: str) -> None:
        self.pool, self.queue, self.log = pool, f"{pool}-{name}", log
        self.node = f"{self.queue}@here"
        command = [sys.executable, "-m", "celery", "-A", "tests.pools.celeryapp", "worker", "-l", "INFO"]
        command += ["-P", "custom" if pool == "asyncio" else pool, "-Q", self.queue, "-n", self.node]
        command += ["--without-gossip", "--without-mingle", "--without-heartbeat", *options]
        environment |= {
            "DJANGO_SETTINGS_MODULE": "tests.pools.settings",
            "CELERY_CUSTOM_WORKER_POOL": "poolwise.pools.asyncio:TaskPool",
        }
        with log.open("w") as output:
            self.process = subprocess.Popen(
                command, env={**os.environ, **environment}, cwd=ROOT, stdout=output, stderr=output
            )

    @property
    def limit_s(self) -> float:
        """The shortest limit that the pool enforces: prefork checks once a second."""
        return 1 if self.pool == "prefork" else 0.3

    @property
    def is_ready(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        return " ready." in self.log.read_text()

    def send(self, task: Any, *args: Any, **options: Any) -> Any:
        return task.apply_async(args, queue=self.queue, **options)

    def run(self, task: Any, *args: Any, **options: Any) -> Any:
        return self.send(task, *args, **options).get(timeout=15)

    def end(self, signum: int = signal.SIGTERM, within_s: float = 20.0) -> int:
        self.process.send_signal(signum)
        return self.wait(within_s)

    def wait(self, within_s: float = 20.0) -> int:
        try:
            return self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(self.log.read_text()) from None


class Notes:
    """The notes that jobs leave in Redis."""

    def __init__(self) -> None:
        self.client = redis.Redis.from_url(URL)

    def of(self, result: Any) -> list[str]:
        notes = [json.loads(entry) for entry in self.client.lrange(celeryapp.NOTES, 0, -1)]
        return [what for job, what in notes if job == result.id]

    def wait_for(self, result: Any, what: str, within_s: float = 10.0) -> None:
        eventually(lambda: what in self.of(result), within_s)

    def unacknowledged(self) -> set[str]:
        """Return the ids of the jobs that workers have reserved."""
        return {json.loads(raw)[0]["headers"]["id"] for raw in self.client.hvals("unacked")}

    def queued(self, worker: Worker) -> set[str]:
        """Return the ids of the jobs in the worker's queue."""
        return {json.loads(raw)["headers"]["id"] for raw in self.client.lrange(worker.queue, 0, -1)}


@pytest.fixture(scope="package")
def notes(suite_redis: None) -> Iterator[Notes]:
    notes = Notes()
    notes.client.flushdb()
    yield notes
    notes.client.close()


@pytest.fixture(scope="package")
def start_workers(
    notes: Notes, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., SimpleNamespace]]:
    """Start a worker of each pool at once: `start_workers(name, pools, *options, **environment)`."""
    folder, started = tmp_path_factory.mktemp("workers"), []

    def start(name: str, pools: tuple[str, ...], *options: str, **environment: str) -> dict[str, Worker]:
        workers = {
            pool: Worker(pool, name, folder / f"{pool}-{name}.log", *options, **environment) for pool in pools
        }
        started.extend(workers.values())
        eventually(lambda: all(worker.is_ready for worker in workers.values()), 40)
        return workers

    yield start
    for worker in started:
        if worker.process.poll() is None:
            worker.process.kill()
            worker.process.wait()
    celeryapp.app.close()
    celeryapp.app._after_fork()  # later tests use the app again, when kombu may have closed this connection pool


@pytest.fixture(scope="package")
def workers(start_workers: Callable[..., dict[str, Worker]]) -> dict[str, Worker]:
    """A worker of each pool with four slots, which reserves at most eight messages."""
    return start_workers("shared", ALL, "-c", "4")


@pytest.fixture(params=ALL)
def worker(request: pytest.FixtureRequest, workers: dict[str, Worker]) -> Worker:
    """A worker of each pool in turn."""
    return workers[request.param]


@pytest.fixture(params=OURS)
def our_worker(request: pytest.FixtureRequest, workers: dict[str, Worker]) -> Worker:
    """A worker of each pool of ours in turn."""
    return workers[request.param]
