"""The bodies of the benchmark as jobs of Poolwise."""

from typing import Annotated

from pydantic import Field

from benchmarks.peers import bodies
from poolwise import job

Text = Annotated[str, Field(max_length=20_000)]


@job(kind="io")
def empty() -> None:
    """Do nothing."""
    bodies.empty()


@empty.asyncio
async def _empty() -> None:
    await bodies.empty_coroutine()


@job(kind="io")
def wait() -> None:
    """Wait for 100 ms."""
    bodies.wait()


@wait.asyncio
async def _wait() -> None:
    await bodies.wait_coroutine()


@job(kind="cpu")
def compute() -> None:
    """Compute for 20 ms."""
    bodies.compute()


@compute.asyncio
async def _compute() -> None:
    await bodies.compute_coroutine()


@job(kind="io")
def payload(text: Text) -> None:
    """Take a text of 10 KiB."""
    bodies.payload(text)


@payload.asyncio
async def _payload(text: str) -> None:
    await bodies.payload_coroutine(text)
