"""Jobs that show each way to end: for the tests, and to see what the pages show."""

import asyncio
import logging
import os
import time
from typing import Annotated, Any

import structlog
from django.conf import settings
from pydantic import Field

from poolwise import AttemptContext, job

#: A thread is interrupted only between two bytecodes, so a long wait consists of short steps.
_STEP_S = 0.05
_FLAKY_ATTEMPTS = 10


class FlakyError(RuntimeError):
    """Raised on purpose, and retried."""


class UnprintableError(Exception):
    """An error whose `str` and `repr` raise."""

    def __str__(self) -> str:
        raise RuntimeError("this error has no text")

    __repr__ = __str__


@job(title="Succeed")
def succeed(
    value: Annotated[str, Field(max_length=1000, description="The result.")] = "done",
) -> str:
    """Return a value at once."""
    return value


@succeed.asyncio
async def _succeed(value: str) -> str:
    return value


@job(title="Raise an error")
def raise_error(
    message: Annotated[str, Field(max_length=1000, description="Text of the error.")] = "raised on purpose",
) -> None:
    """Raise a RuntimeError at once; it is not retried."""
    raise RuntimeError(message)


@raise_error.asyncio
async def _raise_error(message: str) -> None:
    raise RuntimeError(message)


@job(title="Slow")
def slow(
    duration_s: Annotated[float, Field(ge=0, le=3600, description="Seconds to wait.")] = 30.0,
) -> float:
    """Wait for a long time, in short steps: to be cancelled, or stopped by a time limit."""
    end_mono = time.monotonic() + duration_s
    while (left_s := end_mono - time.monotonic()) > 0:
        time.sleep(min(left_s, _STEP_S))
    return duration_s


@slow.asyncio
async def _slow(duration_s: float) -> float:
    await asyncio.sleep(duration_s)
    return duration_s


SucceedOn = Annotated[
    int, Field(ge=1, le=_FLAKY_ATTEMPTS + 1, description="The first attempt that succeeds.")
]


@job(title="Flaky", takes_context=True, max_attempts=_FLAKY_ATTEMPTS, retry_on=FlakyError, retry_delay_s=0.1)
def flaky(context: AttemptContext, succeed_on: SucceedOn = 2) -> dict[str, int]:
    """Fail and be retried until one attempt succeeds; there is no 11th attempt."""
    if context.attempt < succeed_on:
        raise FlakyError(f"Attempt {context.attempt} fails on purpose; number {succeed_on} succeeds.")
    return {"attempt": context.attempt}


@flaky.asyncio
async def _flaky(context: AttemptContext, succeed_on: int) -> dict[str, int]:
    return flaky.func(context, succeed_on)  # type: ignore[no-any-return]


@job(title="Large result")
def large_result(
    size_bytes: Annotated[
        int, Field(ge=0, le=64 * 1024 * 1024, description="Length of the result.")
    ] = 2_000_000,
) -> str:
    """Return a text of a given length, which may be too long to store."""
    return "x" * size_bytes


@job(title="Unserialisable result")
def unserialisable() -> Any:
    """Return an object that JSON cannot represent."""
    return object()


def _unless_allowed() -> str | None:
    if getattr(settings, "JOB_ALLOW_HARMFUL", settings.DEBUG):
        return None
    return "it ends its worker on purpose; set JOB_ALLOW_HARMFUL=true to allow it (default: as DEBUG)."


@job(kind="hazard", title="Exit the process", max_attempts=2, unavailable=_unless_allowed)
def exit_process(
    status: Annotated[int, Field(ge=0, le=255, description="Exit status of the process.")] = 3,
) -> None:
    """End the worker's process at once, with every other job in it, as a crash in C code would."""
    os._exit(status)


@job(title="Unprintable error")
def bad_exception() -> None:
    """Raise an error whose `str` and `repr` raise as well."""
    raise UnprintableError


@job(title="Log lines")
def log_lines(
    count: Annotated[int, Field(ge=0, le=10_000, description="Lines to log.")] = 10,
) -> dict[str, int]:
    """Log lines, alternately with the standard library and with structlog."""
    plain, structured = logging.getLogger(__name__), structlog.get_logger(__name__)
    for number in range(1, count + 1):
        if number % 2:
            plain.info("Line %d of %d", number, count)
        else:
            structured.info("structured line", number=number, count=count)
    return {"lines": count}


@log_lines.asyncio
async def _log_lines(count: int) -> dict[str, int]:
    return log_lines.func(count)  # type: ignore[no-any-return]
