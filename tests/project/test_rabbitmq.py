"""RabbitMQ as the broker: the same jobs, by setting BROKER_URL alone."""

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kombu.pools
import pytest
from celery import _state
from django.conf import settings

from dev.ports import free_port
from poolwise.control import pause, purge, resume
from poolwise.lifecycle import broker, broker_queues, pauses, precheck
from poolwise.lifecycle.submission import submit
from poolwise.models import Job, JobState, Pause
from tests.helpers.core import forget_connections, waiting
from tests.helpers.pace import eventually
from tests.helpers.platform import Platform
from tests.helpers.services import absent

pytestmark = [pytest.mark.services, pytest.mark.django_db(transaction=True)]
# The wrapper on PATH insists on its own user; the script behind it does not.
PROGRAM = next(
    (
        p
        for p in ("/usr/lib/rabbitmq/bin/rabbitmq-server", shutil.which("rabbitmq-server"))
        if p and Path(p).exists()
    ),
    None,
)


@pytest.fixture(scope="module")
def rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A private RabbitMQ node; yields its URL."""
    if PROGRAM is None:
        absent("RabbitMQ", "sudo apt install rabbitmq-server")
    home, port = tmp_path_factory.mktemp("rabbitmq"), free_port()
    environment = {
        **os.environ,
        "HOME": str(home),
        "RABBITMQ_NODENAME": f"poolwise{port}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(free_port()),
        "RABBITMQ_MNESIA_BASE": str(home / "data"),
        "RABBITMQ_LOG_BASE": str(home / "log"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "plugins"),
        "RABBITMQ_PID_FILE": str(home / "pid"),
    }
    with (home / "out.log").open("wb") as log:
        node = subprocess.Popen(
            [PROGRAM], env=environment, stdout=log, stderr=log, cwd=home, start_new_session=True
        )
    try:
        _wait_for(port, node, home / "out.log")
        yield f"amqp://guest:guest@127.0.0.1:{port}//"
    finally:
        node.terminate()
        try:
            node.wait(30)
        except subprocess.TimeoutExpired:
            node.kill()
            node.wait()


def _wait_for(port: int, node: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(300):
        if node.poll() is not None:
            break
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
                connection.sendall(b"AMQP\x00\x00\x09\x01")
                connection.settimeout(2)
                if connection.recv(8):
                    return
        except OSError:
            time.sleep(0.2)
    raise AssertionError(f"RabbitMQ did not start: {log.read_text()[-2000:]}")


def leave_rabbitmq() -> None:
    """Close this process' connections to the broker."""
    broker.connection(broker.BACKGROUND_TIMEOUT_S).close()
    broker.web_connection().close()
    kombu.pools.reset()
    for app in _state._get_active_apps():
        app._after_fork()  # it would go on with a pool that is closed now
    forget_connections()


def test_every_pool_runs_jobs_from_rabbitmq(
    transactional_db: None, platform_processes: Platform, rabbitmq: str, tmp_path: Path
) -> None:
    file = tmp_path / "figures.json"
    arguments = ("io.wait", "--copies", "10", "--param", "duration_s=0.05", "--json", str(file))
    # A key prefix of its own, so that the command starts workers of its own instead of finding the others.
    done = platform_processes.manage(
        "compare", *arguments, BROKER_URL=rabbitmq, JOB_KEY_PREFIX="rabbit:", timeout_s=150
    )
    assert done.returncode == 0, done.stderr
    pools = json.loads(file.read_text())["pools"]
    assert [pool["succeeded"] for pool in pools] == [10] * len(settings.JOB_POOLS)


def test_a_pool_on_rabbitmq_is_paused_purged_and_resumed(
    transactional_db: None,
    no_coordinator: None,
    rabbitmq: str,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings.JOB_KEY_PREFIX = "rabbit-paused:"
    monkeypatch.setenv("CELERY_BROKER_URL", rabbitmq)
    forget_connections()
    try:
        with Platform(BROKER_URL=rabbitmq, JOB_KEY_PREFIX="rabbit-paused:") as platform:
            platform.ensure("coordinator", "threads")
            pause("pool", "threads", user=None, reason="a test")
            time.sleep(2.0)
            with monkeypatch.context() as patch:
                # as a worker that has not read the pause yet
                patch.setattr(precheck, "paused_of", lambda _: pauses.Paused())
                jobs = submit("endings.succeed", {}, pool="threads", copies=5)
            time.sleep(1.0)
            assert Job.objects.queued().count() == broker_queues.length("threads") == 5
            purged = purge("threads", user=None, reason="a test")
            assert (purged.cancelled, purged.messages) == (5, None)  # the workers drop the messages
            resume("pool", "threads", user=None, reason="a test")
            [after] = submit("endings.succeed", {}, pool="threads")
            platform.wait_for(after)
            assert after.state == JobState.SUCCEEDED
            eventually(lambda: broker_queues.length("threads") == 0)
            assert set(
                Job.objects.filter(pk__in=[job.pk for job in jobs]).values_list("state", "attempt")
            ) == {(JobState.CANCELLED, 1)}
    finally:
        Pause.objects.all().delete()
        leave_rabbitmq()


def test_a_queue_of_rabbitmq_has_a_length_and_may_be_empty(
    transactional_db: None, rabbitmq: str, unserved_pool: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CELERY_BROKER_URL", rabbitmq)
    forget_connections()
    try:
        assert (broker_queues.length(unserved_pool), waiting(unserved_pool)) == (
            0,
            set(),
        )  # never declared
        jobs = submit("io.wait", {"duration_s": 0}, pool=unserved_pool, copies=3)
        assert all(job.due_at is None for job in jobs)
        eventually(
            lambda: broker_queues.length(unserved_pool) == 3
        )  # sent by one connection, counted by another
        assert waiting(unserved_pool) is None
        with broker.background_connection() as connection:
            connection.default_channel.queue_purge(unserved_pool)
        assert (broker_queues.length(unserved_pool), waiting(unserved_pool)) == (0, set())
    finally:
        Job.objects.all().delete()
        leave_rabbitmq()
