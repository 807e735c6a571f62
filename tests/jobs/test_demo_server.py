"""The small server that the HTTP jobs fetch from."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress

import httpx
import pytest
from django.core.management import CommandError, call_command

from jobs import demo_server
from tests.project.test_compose import SERVICES


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("/", 200),
        ("/wait", 200),
        ("/wait?ms=0&bytes=0", 200),
        ("/wait?ms=0&bytes=1048576", 200),
        ("/wait?ms=60001", 400),
        ("/wait?bytes=1048577", 400),
        ("/wait?ms=-1", 400),
        ("/wait?ms=1e3", 400),
        ("/wait?ms=٣", 400),
        ("/wait?ms=" + "9" * 5000, 400),
        ("/page/0", 200),
        ("/page/10000", 200),
        ("/page/10001", 400),
        ("/page/123456", 404),
        ("/page/x", 404),
        ("/etc/passwd", 404),
    ],
)
def test_the_request_decides_the_status(target: str, status: int) -> None:
    assert asyncio.run(demo_server.answer(target))[0] == status


def test_a_wait_takes_its_time_and_sends_its_bytes(demo_url: str) -> None:
    begin = time.monotonic()
    response = httpx.get(f"{demo_url}/wait?ms=100&bytes=1234", trust_env=False)
    assert time.monotonic() - begin >= 0.1
    assert len(response.content) == 1234


def test_a_page_is_always_the_same_and_differs_from_others(demo_url: str) -> None:
    first, again, other = (httpx.get(f"{demo_url}/page/{n}", trust_env=False).text for n in (1, 1, 2))
    assert first == again == demo_server.page_html(1)
    assert first != other


def test_one_connection_serves_several_requests(demo_url: str) -> None:
    with httpx.Client(trust_env=False) as client:
        assert [client.get(f"{demo_url}/page/{n}").status_code for n in range(3)] == [200] * 3


def test_anything_but_get_is_refused(demo_url: str) -> None:
    assert httpx.post(f"{demo_url}/page/1", content=b"x", trust_env=False).status_code == 405


@pytest.mark.parametrize(
    "sent", [b"hello\r\n\r\n", b"GET /\r\n\r\n", b"\xff\xfe\r\n\r\n", b"GET /" + b"a" * 20_000, b""]
)
def test_what_is_no_http_closes_the_connection_and_nothing_else(demo_url: str, sent: bytes) -> None:
    host, port = demo_url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        with suppress(ConnectionResetError):  # closed with unread data
            assert connection.recv(100) == b""
    assert httpx.get(f"{demo_url}/page/1", trust_env=False).status_code == 200


def test_connections_past_the_limit_get_an_error(demo_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_server, "MAX_CONNECTIONS", 0)
    assert httpx.get(f"{demo_url}/page/1", trust_env=False).status_code == 503


def test_a_port_in_use_is_named_with_the_remedy() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CommandError, match=f"127.0.0.1:{port}.*--port"):
            call_command("demoserver", host="127.0.0.1", port=port)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_serves_until_it_is_stopped(number: int) -> None:
    command = [sys.executable, "manage.py", "demoserver", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ.copy()) as process:
        line = process.stdout.readline()
        url = line.split()[-1]
        assert httpx.get(f"{url}/page/1", trust_env=False).status_code == 200
        assert _is_healthy(url)
        process.send_signal(number)
        assert process.wait(10) == 0
    assert not _is_healthy(url)


def _is_healthy(url: str) -> bool:
    """Return what the health check of compose.yaml says of the server."""
    _, *command = SERVICES["demo"]["healthcheck"]["test"]
    command[-1] = command[-1].replace("/8099", f"/{url.rpartition(':')[2]}")
    return subprocess.run(command, capture_output=True, timeout=10).returncode == 0
