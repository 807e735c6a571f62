"""Jobs that wait for time, network, disk or database: threads, greenlets and coroutines suit them."""

import asyncio
import hashlib
import os
import socket
import time
from collections import Counter
from typing import Annotated, Any

import httpx
import redis
import redis.asyncio
from django.conf import settings
from django.db import connection
from pydantic import Field

from jobs import http
from jobs.data import MIB, Seed, digest, seeded, temporary_file
from poolwise import Unavailable, job

_REDIS_TIMEOUTS: dict[str, Any] = {"socket_timeout": 10.0, "socket_connect_timeout": 3.0}


@job(kind="io", title="Timed wait")
def wait(
    duration_s: Annotated[float, Field(ge=0, le=600, description="Seconds to wait.")] = 0.1,
) -> float:
    """Wait for some time and return it.

    Waits on a timer and releases the GIL: every pool but prefork runs hundreds of them at once.
    """
    time.sleep(duration_s)
    return duration_s


@wait.asyncio
async def _wait(duration_s: float) -> float:
    await asyncio.sleep(duration_s)
    return duration_s


@job(kind="io", title="HTTP GET", retry_on=httpx.TransportError)
def http_get(
    addresses: Annotated[
        list[http.Address],
        Field(
            max_length=20,
            description="Web addresses, fetched one after another: public ones, and those that the operator lists.",
        ),
    ] = http.demo_addresses(),  # noqa: B008 - read once, like every default
    timeout_s: http.Timeout = 10.0,
) -> dict[str, Any]:
    """Fetch web addresses one after another; return counts and a digest of the bodies.

    Waits on sockets and releases the GIL. An answer of any status counts; without an answer the job fails.
    """
    return _summary(http.fetch_all(addresses, timeout_s))


@http_get.asyncio
async def _http_get(addresses: list[str], timeout_s: float) -> dict[str, Any]:
    return _summary(await http.afetch_all(addresses, timeout_s))


def _summary(pages: list[http.FetchedPage]) -> dict[str, Any]:
    return {
        "fetched": len(pages),
        "statuses": dict(Counter(str(page.status) for page in pages)),
        "bytes": sum(len(page.body) for page in pages),
        "digest": digest(b"".join(page.body for page in pages)),
    }


@job(kind="io", title="File round trip")
def file_round_trip(
    size_mib: Annotated[int, Field(ge=1, le=256, description="Size of the file.")] = 4,
    to_disk: Annotated[bool, Field(description="Wait until the data is on disk (fsync).")] = True,
    seed: Seed = 1,
) -> dict[str, Any]:
    """Write a temporary file, read it back and compare the hashes.

    Waits on the disk (write, fsync, read) and releases the GIL, but no event loop can wait for a file:
    greenlets block each other, and the asyncio pool runs it in a thread.
    """
    block = seeded(seed).randbytes(MIB)
    written, read = hashlib.sha256(), hashlib.sha256()
    with temporary_file() as file:
        for index in range(size_mib):
            chunk = index.to_bytes(8) + block[8:]
            file.write(chunk)
            written.update(chunk)
        file.flush()
        if to_disk:
            os.fsync(file.fileno())
        file.seek(0)
        while chunk := file.read(MIB):
            read.update(chunk)
    if read.digest() != written.digest():
        raise OSError("The file differs from what was written.")
    return {"bytes": size_mib * MIB, "sha256": read.hexdigest()}


def _needs_postgresql() -> str | None:
    if connection.vendor == "postgresql":
        return None
    return f"It needs PostgreSQL (pg_sleep) and this site uses {connection.display_name}; set DATABASE_URL."


@job(kind="io", title="SQL wait", unavailable=_needs_postgresql)
def sql_wait(
    duration_s: Annotated[float, Field(ge=0, le=60, description="Seconds that the query takes.")] = 0.1,
) -> float:
    """Run a query that waits in PostgreSQL, and return its duration.

    Waits on the database's socket and releases the GIL. Each job running at once holds one connection.
    """
    if reason := _needs_postgresql():
        raise Unavailable(reason)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_sleep(%s)", [duration_s])
    finally:
        # The connection of a greenlet would stay open after it, and 200 of them exhaust the server.
        if not connection.in_atomic_block:
            connection.close()
    return duration_s


RoundTrips = Annotated[int, Field(ge=1, le=10_000, description="Round trips, one after another.")]
PayloadBytes = Annotated[int, Field(ge=1, le=65_536, description="Bytes sent and returned by each.")]


@job(kind="io", title="Redis round trips", retry_on=(redis.ConnectionError, redis.TimeoutError))
def redis_round_trips(
    count: RoundTrips = 100, payload_bytes: PayloadBytes = 100, seed: Seed = 1
) -> dict[str, Any]:
    """Send data to Redis, which returns it (ECHO), many times; nothing is stored.

    Waits on a socket and releases the GIL, in many very short waits: shows the cost of switching.
    """
    payload = seeded(seed).randbytes(payload_bytes)
    with redis.Redis.from_url(settings.REDIS_URL, **_REDIS_TIMEOUTS) as client:
        same = sum(client.echo(payload) == payload for _ in range(count))
    return {"round_trips": same, "bytes": same * payload_bytes, "digest": digest(payload)}


@redis_round_trips.asyncio
async def _redis_round_trips(count: int, payload_bytes: int, seed: int) -> dict[str, Any]:
    payload = seeded(seed).randbytes(payload_bytes)
    async with redis.asyncio.Redis.from_url(settings.REDIS_URL, **_REDIS_TIMEOUTS) as client:
        same = sum([await client.echo(payload) == payload for _ in range(count)])
    return {"round_trips": same, "bytes": same * payload_bytes, "digest": digest(payload)}


LocalName = Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.localhost)?$")]


@job(kind="io", title="DNS look-ups")
def dns_lookup(
    names: Annotated[
        list[LocalName],
        Field(min_length=1, max_length=20, description="Local names: one word, or ending in .localhost."),
    ] = ["localhost"],  # noqa: B006 - pydantic copies it
    rounds: Annotated[int, Field(ge=1, le=100, description="Look-ups of each name.")] = 10,
) -> dict[str, Any]:
    """Look up local names, one after another; return the addresses of each, none for an unknown name.

    Waits in the C library's resolver and releases the GIL; gevent and asyncio use a few threads for it.
    """
    addresses: dict[str, list[str]] = {}
    for name in names * rounds:
        try:
            addresses[name] = _addresses(socket.getaddrinfo(name, None))
        except socket.gaierror:
            addresses[name] = []
    return {"lookups": len(names) * rounds, "addresses": addresses}


@dns_lookup.asyncio
async def _dns_lookup(names: list[str], rounds: int) -> dict[str, Any]:
    loop = asyncio.get_running_loop()
    addresses: dict[str, list[str]] = {}
    for name in names * rounds:
        try:
            addresses[name] = _addresses(await loop.getaddrinfo(name, None))
        except socket.gaierror:
            addresses[name] = []
    return {"lookups": len(names) * rounds, "addresses": addresses}


def _addresses(infos: list[Any]) -> list[str]:
    return sorted({str(info[4][0]) for info in infos})
