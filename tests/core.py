"""What the tests of the core share: a Redis that may go away, a pool that nobody serves, a registry of their own.

Their fixtures are in `tests/conftest.py`.
"""

import base64
import json
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis

from dev import redis_server
from dev.ports import free_port
from jobs import coordinator as coordinating
from jobs import publishing, redis_client, stream
from jobs.coordinator import Coordinator
from jobs.stream import Entry


class OwnRedis:
    """A Redis server that a test may kill, freeze and start again, always at the same address."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.port = directory, free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.process: subprocess.Popen[bytes] | None = None
        self._frozen = False

    def start(self) -> None:
        """Start it with an empty memory and wait until it answers."""
        options = [
            "--port",
            str(self.port),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--dir",
            str(self.directory),
        ]
        self.process = subprocess.Popen(
            [str(redis_server.find_binary()), *options], stdout=subprocess.DEVNULL, start_new_session=True
        )
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        if self.process is not None:  # else the test has ended it already
            raise AssertionError("the test's own Redis did not start")

    def kill(self) -> None:
        """End it, so that its port refuses connections."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def freeze(self) -> None:
        """Let it keep its connections and answer nothing."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it answer again."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def client(self) -> redis.Redis:
        """Return a client of it."""
        return redis.Redis.from_url(self.url, decode_responses=True)


def after(seconds: float, act: Callable[[], object]) -> threading.Timer:
    """Do something in another thread, later."""
    timer = threading.Timer(seconds, act)
    timer.start()
    return timer


def forget_connections() -> None:
    """Drop every cached client, so that the next call reads the settings again."""
    for cached in (redis_client.worker_client, redis_client.web_client):
        if cached.cache_info().currsize:
            cached().connection_pool.disconnect()
        cached.cache_clear()
    publishing._connection.cache_clear()


def point_at(url: str, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make this process use another Redis, for the platform's own data and as broker."""
    settings.REDIS_URL = settings.BROKER_URL = url
    monkeypatch.setenv("CELERY_BROKER_URL", url)
    monkeypatch.setattr(publishing, "_breaker", publishing._Breaker())
    forget_connections()


def messages(client: redis.Redis, queue: str) -> list[dict[str, Any]]:
    """Return the messages in a queue, the oldest first; each with `args` beside what the broker holds."""
    found = [json.loads(text) for text in reversed(client.lrange(queue, 0, -1))]
    for message in found:
        definition, params = json.loads(base64.b64decode(message["body"]))[0]
        message["args"] = [definition, json.loads(params)]
    return found


def reports(client: redis.Redis) -> list[Entry]:
    """Return what stands on the stream."""
    return [stream.decode(fields["e"]) for _, fields in client.xrange(stream.stream_key())]


def coordinate(
    condition: Callable[[], object], monkeypatch: pytest.MonkeyPatch, *, within_s: float = 15.0
) -> None:
    """Run a coordinator in this thread, hence in this test's transaction, until the condition holds."""
    coordinator, act = Coordinator(), coordinating._do_what_is_due

    def act_and_look(duties: Any) -> None:
        act(duties)
        if condition():
            coordinator.stop()

    monkeypatch.setattr(coordinating, "_do_what_is_due", act_and_look)
    monkeypatch.setattr(
        coordinating, "close_old_connections", lambda: None
    )  # the test's own is within a transaction
    timer = after(within_s, coordinator.stop)
    coordinator.run()
    timer.cancel()
    monkeypatch.setattr(coordinating, "_do_what_is_due", act)
    assert condition(), f"not within {within_s} s"
