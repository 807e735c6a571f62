"""A small HTTP server for the HTTP jobs of the demo and the tests; it opens no connections and stores nothing."""

import asyncio
import re
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

from jobs.data import seeded

MAX_WAIT_MS = 60_000
MAX_BYTES = 1024 * 1024
MAX_PAGE = 10_000
MAX_CONNECTIONS = 1_000
_IDLE_S = 15.0
_HEAD_BYTES = 8_192
_WORDS = (
    *("job", "pool", "slot", "queue", "worker", "broker", "database", "wait", "run", "retry", "attempt"),
    *("outcome", "block", "thread", "process", "loop"),
)

type Answer = tuple[int, str, bytes]
_TEXTS = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    503: "Service Unavailable",
}
_BUSY: Answer = (503, "text/plain", b"Too many connections.\n")
_ONLY_GET: Answer = (405, "text/plain", b"Only GET.\n")


class BadQuery(ValueError):
    """A value in the query is out of range."""


async def answer(target: str) -> Answer:
    """Return status, content type and body for a path with its query."""
    parts = urlsplit(target)
    try:
        if parts.path == "/":
            return 200, "text/plain", b"GET /wait?ms=100&bytes=1000\nGET /page/1\n"
        if parts.path == "/wait":
            return await _wait(parse_qs(parts.query))
        if match := re.fullmatch(r"/page/([0-9]{1,5})", parts.path):
            return _page(int(match[1]))
    except BadQuery as error:
        return 400, "text/plain", f"{error}\n".encode()
    return 404, "text/plain", b"Try /wait?ms=100&bytes=1000 or /page/1.\n"


async def _wait(query: dict[str, list[str]]) -> Answer:
    wait_ms, size_bytes = _number(query, "ms", 100, MAX_WAIT_MS), _number(query, "bytes", 1_000, MAX_BYTES)
    await asyncio.sleep(wait_ms / 1000)
    return 200, "application/octet-stream", b"." * size_bytes


def _number(query: dict[str, list[str]], name: str, default: int, maximum: int) -> int:
    text = query.get(name, [str(default)])[-1]
    if not re.fullmatch(r"[0-9]{1,9}", text) or int(text) > maximum:
        raise BadQuery(f"{name} must be a whole number from 0 to {maximum}.")
    return int(text)


def _page(number: int) -> Answer:
    if number > MAX_PAGE:
        raise BadQuery(f"Pages are numbered from 0 to {MAX_PAGE}.")
    return 200, "text/html; charset=utf-8", page_html(number).encode()


def page_html(number: int) -> str:
    """Return a page of HTML, always the same for the same number."""
    random = seeded(number)
    sections = "".join(
        f"<section><h2>Part {part}</h2><p>{' '.join(random.choices(_WORDS, k=random.randint(40, 120)))}</p>"
        f'<p><a href="/page/{random.randint(0, MAX_PAGE)}">More</a></p></section>\n'
        for part in range(1, random.randint(4, 12))
    )
    title = f"Page {number}"
    return f'<!doctype html>\n<html lang="en"><title>{title}</title>\n<h1>{title}</h1>\n{sections}</html>\n'


async def serve(host: str, port: int, on_ready: Callable[[int], None], stopped: asyncio.Event) -> None:
    """Answer requests until `stopped` is set; `on_ready` gets the port. Raise OSError when it is in use."""
    connections: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if task := asyncio.current_task():
            connections.add(task)
            task.add_done_callback(connections.discard)
        await _answer_requests(reader, writer, is_full=len(connections) > MAX_CONNECTIONS)

    server = await asyncio.start_server(connected, host, port, limit=_HEAD_BYTES, backlog=512)
    try:
        on_ready(server.sockets[0].getsockname()[1])
        await stopped.wait()
    finally:
        server.close()
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)


async def _answer_requests(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_full: bool
) -> None:
    """Answer the requests of a connection until it is closed or idle, or sends what is no HTTP."""
    try:
        while (line := await _request_line(reader)) is not None:
            method, target = line
            refusal = _BUSY if is_full else _ONLY_GET if method != "GET" else None
            writer.write(_encoded(refusal or await answer(target), close=refusal is not None))
            await writer.drain()
            if refusal:
                return
    except (OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        return  # the client disconnected, was idle, or sent no HTTP
    finally:
        writer.close()


def _encoded(response: Answer, *, close: bool) -> bytes:
    status, kind, body = response
    head = [f"HTTP/1.1 {status} {_TEXTS[status]}", f"Content-Type: {kind}", f"Content-Length: {len(body)}"]
    if close:
        head.append("Connection: close")
    return "\r\n".join((*head, "", "")).encode() + body


async def _request_line(reader: asyncio.StreamReader) -> tuple[str, str] | None:
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), _IDLE_S)
    method, _, rest = head.split(b"\r\n", 1)[0].decode("latin-1").partition(" ")
    target, _, version = rest.rpartition(" ")
    return (method, target) if target and version.startswith("HTTP/1.") else None
