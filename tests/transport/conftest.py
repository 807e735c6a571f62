"""A Redis of our own and real worker processes."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import redis
from celery import Celery

from poolwise.pools import POOL_CLASSES
from poolwise.transport import redis_transport
from tests import ROOT
from tests.helpers.pace import eventually

MODELS = ("prefork", "threads", "gevent", "asyncio")


class Broker:
    """A Redis server that a test may stop, start and query."""

    def __init__(self, folder: Path, *options: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.command = [os.environ.get("TEST_REDIS_SERVER", "redis-server"), "--port", str(self.port)]
        self.command += ["--bind", "127.0.0.1", "--save", "", "--dir", str(folder), *options]
        self.client = redis.Redis(port=self.port)
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        eventually(self._answers)

    def _answers(self) -> bool:
        try:
            return bool(self.client.ping())
        except redis.ConnectionError:
            return False

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(10)

    def close(self) -> None:
        self.client.close()
        self.stop()

    def cut_connections(self, kind: str) -> None:
        self.client.execute_command("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")

    @property
    def is_settled(self) -> bool:
        return not self.client.hlen("unacked") and not self.client.zcard("unacked_index")


class Worker:
    """One worker process of a pool model, consuming from the queue of that name."""

    def __init__(self, model: str, environment: dict[str, str], log: Path) -> None:
        self.model, self.log = model, log
        environment = {**environment, "CELERY_CUSTOM_WORKER_POOL": POOL_CLASSES["asyncio"]}
        pool = "custom" if model == "asyncio" else model
        options = ["-P", pool, "-c", "2", "-Q", model, "-n", f"{log.stem}@here", "-l", "INFO"]
        command = [sys.executable, "-m", "celery", "-A", "tests.transport.workerapp", "worker"]
        command += [*options, "--without-gossip", "--without-mingle", "--without-heartbeat"]
        with log.open("w") as output:
            self.process = subprocess.Popen(
                command, env=environment, cwd=ROOT, stdout=output, stderr=output, start_new_session=True
            )

    @property
    def is_ready(self) -> bool:
        assert self.is_alive, self.log.read_text()
        return " ready." in self.log.read_text()

    @property
    def is_alive(self) -> bool:
        return self.process.poll() is None

    def kill(self) -> None:
        """Kill the worker and its children, as a power cut would."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        self.process.wait(10)


class Lab:
    """A broker, workers with one visibility timeout, and the witness file that their jobs write."""

    def __init__(self, folder: Path, *, visibility_s: float) -> None:
        self.folder, self.visibility_s = folder, visibility_s
        self.broker = Broker(folder, "--appendonly", "yes")
        self.witness = folder / "witness"
        self.witness.touch()
        self.workers: list[Worker] = []
        redis_transport.install()
        self.app = Celery("client", broker=self.broker.url, set_as_current=False)

    def start(self, *models: str) -> list[Worker]:
        """Start a worker of each model and wait until all are ready."""
        environment = {
            **os.environ,
            "TEST_BROKER_URL": self.broker.url,
            "TEST_WITNESS": str(self.witness),
            "TEST_VISIBILITY_S": str(self.visibility_s),
        }
        logs = [self.folder / f"{model}{len(self.workers) + n}.log" for n, model in enumerate(models)]
        started = [Worker(model, environment, log) for model, log in zip(models, logs, strict=True)]
        self.workers += started
        eventually(lambda: all(worker.is_ready for worker in started), 30)
        return started

    def crew(self, *models: str) -> list[Worker]:
        """Return live workers of these models, reused from earlier tests or started; forget earlier jobs."""
        try:
            eventually(lambda: self.is_idle, 20)
        except AssertionError:  # the previous test has failed
            self._clear()
        self.witness.write_text("")
        free = [worker for worker in self.workers if worker.is_alive]
        missing = []
        for model in models:
            reused = next((worker for worker in free if worker.model == model), None)
            if reused is None:
                missing.append(model)
            else:
                free.remove(reused)
        self.start(*missing)
        return [worker for worker in self.workers if worker.is_alive]

    def _clear(self) -> None:
        self._kill_all()
        self.broker.client.flushall()

    def _kill_all(self) -> None:
        for worker in self.workers:
            worker.kill()

    @property
    def is_idle(self) -> bool:
        """Return whether no job waits or runs."""
        return self.broker.is_settled and not any(self.broker.client.llen(model) for model in MODELS)

    def close(self) -> None:
        self._kill_all()
        self.app.close()
        self.broker.close()

    def send(self, task: str, *args: object, to: str) -> None:
        self.app.send_task(f"tests.transport.workerapp.{task}", args, queue=to)

    def begin_everywhere(self, seconds: float) -> None:
        """Send each pool a job that waits, with the model's name as its key; return once all have begun."""
        for model in MODELS:
            self.send("wait", model, seconds, to=model)
        for model in MODELS:
            eventually(self.has(f"start {model}"))

    def count(self, line: str) -> int:
        return self.witness.read_text().splitlines().count(line)

    def has(self, line: str) -> Callable[[], bool]:
        return lambda: self.count(line) > 0

    def runner_of(self, key: str) -> Worker:
        """Return the worker that has begun the job."""
        return next(worker for worker in self.workers if self.count(f"by {worker.process.pid} {key}"))


@pytest.fixture
def broker(suite_redis: None, tmp_path: Path) -> Iterator[Broker]:
    need_redis_server()
    broker = Broker(tmp_path, "--appendonly", "yes")
    yield broker
    broker.close()


@pytest.fixture(scope="module")
def lab(
    suite_redis: None, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Lab]:
    """One lab for all tests of a module, with the module's VISIBILITY_S."""
    need_redis_server()
    with closing(Lab(tmp_path_factory.mktemp("lab"), visibility_s=request.module.VISIBILITY_S)) as lab:
        yield lab


def need_redis_server() -> None:
    if shutil.which("redis-server") is None:
        pytest.skip("no redis-server on PATH")
