"""The jobs of the benchmark; `cases` has their parameters and their best pools."""

import asyncio
import subprocess
from typing import Annotated

import numpy as np
import psycopg
from django.conf import settings
from pydantic import Field

from benchmarks.answers import bodies
from poolwise import job

Wait = Annotated[float, Field(ge=0, le=10, description="Seconds to wait.")]
Mebibytes = Annotated[int, Field(ge=1, le=256, description="Data to hash.")]
_TEXT = "a large payload " * 6_250


@job(kind="io")
def wait(duration_s: Wait) -> None:
    """Wait on a timer."""
    bodies.wait(duration_s)


@wait.asyncio
async def _wait(duration_s: float) -> None:
    await asyncio.sleep(duration_s)


@job(kind="io")
def http(wait_ms: Annotated[int, Field(ge=0, le=10_000, description="How long the server waits.")]) -> int:
    """Fetch a page of a local server."""
    return bodies.fetch(_address(wait_ms))


@http.asyncio
async def _http(wait_ms: int) -> int:
    return await bodies.afetch(_address(wait_ms))


def _address(wait_ms: int) -> str:
    return f"{settings.JOB_HTTP_DEMO_URL}/wait?ms={wait_ms}"


@job(kind="cpu")
def python(steps: Annotated[int, Field(ge=1, le=10_000_000)]) -> int:
    """Compute in pure Python."""
    return bodies.python(steps)


@job(kind="cpu")
def sha256(size_mib: Mebibytes) -> str:
    """Hash in one call that releases the GIL."""
    return bodies.sha256(size_mib)


@job(kind="cpu")
def matrix(size: Annotated[int, Field(ge=1, le=2_000, description="Rows and columns.")]) -> float:
    """Multiply two matrices with NumPy, which releases the GIL."""
    ones = np.ones((size, size))
    return float((ones @ ones)[0, 0])


@job(kind="cpu")
def json_round_trip(items: Annotated[int, Field(ge=1, le=200_000)]) -> int:
    """Encode and decode a document."""
    return bodies.json_round_trip(items)


@job(kind="mixed")
def half(duration_s: Wait, size_mib: Mebibytes) -> str:
    """Wait, then hash."""
    return bodies.half(duration_s, size_mib)


@half.asyncio
async def _half(duration_s: float, size_mib: int) -> str:
    await asyncio.sleep(duration_s)
    return bodies.sha256(size_mib)


@job(kind="cpu")
def tiny() -> int:
    """Do next to nothing."""
    return bodies.python(1)


@job(kind="cpu", max_payload_bytes=262_144)
def payload(text: Annotated[str, Field(max_length=200_000)] = _TEXT) -> int:
    """Compute the checksum of a large text in pure Python."""
    return bodies.checksum(text)


@job(kind="io")
def child_process(duration_s: Wait) -> None:
    """Start a program that waits."""
    bodies.child_process(duration_s)


@child_process.asyncio
async def _child_process(duration_s: float) -> None:
    process = await asyncio.create_subprocess_exec("sleep", str(duration_s))
    if status := await process.wait():
        raise subprocess.CalledProcessError(status, "sleep")


def _sql_url() -> str:
    return str(getattr(settings, "ANSWERS_SQL_URL", ""))


def _needs_server() -> str | None:
    return None if _sql_url() else "It needs a PostgreSQL server."


@job(kind="io", unavailable=_needs_server)
def sql(duration_s: Wait) -> None:
    """Run a query that waits in PostgreSQL."""
    with psycopg.connect(_sql_url()) as connection:
        connection.execute("SELECT pg_sleep(%s)", [duration_s])


@job(kind="io")
def blocking(duration_s: Wait) -> None:
    """Wait in C, where gevent cannot switch."""
    bodies.wait_in_c(duration_s)


@blocking.asyncio
async def _blocking(duration_s: float) -> None:
    await asyncio.sleep(duration_s)
