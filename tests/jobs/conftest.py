"""A demo server and a hostile one to fetch from, and a folder for files."""

import asyncio
import gzip
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import jobs
from jobs.demo_server import serve
from poolwise import definitions

type Bodies = Callable[..., list[Any]]


@pytest.fixture
def run() -> Bodies:
    """Return a function that runs every body of a definition in this process and returns the results."""
    jobs.load()

    def run_bodies(name: str, **params: Any) -> list[Any]:
        definition = definitions.get(name)
        arguments = definition.call_arguments(definition.validate(params))
        results = [definition.body(**arguments)] if definition.body else []
        if definition.async_body:
            results.append(asyncio.run(definition.async_body(**arguments)))
        return results

    return run_bodies


@contextmanager
def in_thread(start: Callable[[Callable[[int], None], asyncio.Event], Awaitable[None]]) -> Iterator[int]:
    """Run an asyncio server in a thread; yield its port."""
    ready, ports, ends = threading.Event(), [], []

    async def main() -> None:
        stopped = asyncio.Event()
        loop = asyncio.get_running_loop()
        ends.append(lambda: loop.call_soon_threadsafe(stopped.set))

        def on_ready(port: int) -> None:
            ports.append(port)
            ready.set()

        await start(on_ready, stopped)

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    assert ready.wait(10)
    try:
        yield ports[0]
    finally:
        ends[0]()
        thread.join(10)


@pytest.fixture
def demo_url(settings: Any) -> Iterator[str]:
    """Return the address of a running demo server, which the settings allow."""
    with in_thread(lambda on_ready, stopped: serve("127.0.0.1", 0, on_ready, stopped)) as port:
        settings.JOB_HTTP_DEMO_URL = f"http://127.0.0.1:{port}"
        settings.JOB_HTTP_ALLOWED_HOSTS = [f"127.0.0.1:{port}"]
        yield settings.JOB_HTTP_DEMO_URL


class Hostile(BaseHTTPRequestHandler):
    """Redirects to other hosts or in a circle, sends too much, or never ends."""

    def do_GET(self) -> None:
        kind, _, rest = self.path.lstrip("/").partition("/")
        if kind == "to":
            self._head(302, {"Location": rest})
        elif kind == "round":
            self._head(302, {"Location": "/round"})
        elif kind == "drip":
            self._head(200, {})
            self._pieces(b".", pause_s=0.05)
        elif kind == "slowhead":
            self.wfile.write(b"HTTP/1.1 200 OK\r\n")
            self._pieces(b"X-Drip: 1\r\n", pause_s=0.05)
        elif kind == "bomb":
            packed = gzip.compress(b"0" * 10_000_000)
            self._head(200, {"Content-Encoding": "gzip", "Content-Length": str(len(packed))})
            self.wfile.write(packed)
        elif kind == "flood":
            self._head(200, {})
            self._pieces(b"." * 65_536, pause_s=0)
        else:
            self._head(500, {"Content-Length": "4"})
            self.wfile.write(b"oops")

    def _head(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def _pieces(self, piece: bytes, pause_s: float) -> None:
        stop = threading.Event()
        try:
            for _ in range(200):
                self.wfile.write(piece)
                stop.wait(pause_s)
        except OSError:
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""


@pytest.fixture
def hostile_url(settings: Any) -> Iterator[str]:
    """Return the address of a server that misbehaves, which the settings allow."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hostile)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    host = f"127.0.0.1:{server.server_port}"
    settings.JOB_HTTP_ALLOWED_HOSTS = [host]
    yield f"http://{host}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def files(settings: Any, tmp_path: Path) -> Path:
    """Return the folder that jobs may write to; it does not exist yet."""
    settings.JOB_FILES_DIR = str(tmp_path / "files")
    return tmp_path / "files"
