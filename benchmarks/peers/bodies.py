"""The bodies of the jobs, the same for every system. Standard library only: each system runs in an environment of its own.

Each run adds its begin and end to a file, so that the harness counts bodies of any system at the same small cost.
"""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Mapping

from benchmarks.peers.marks import RECORD

WAIT_S = 0.1
COMPUTE_S = 0.02
PAYLOAD = "0123456789abcdef" * 640
_STEPS = 500
_file = os.open(os.environ["BENCH_MARKS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)


def _note(begin_mono: float) -> None:
    os.write(_file, RECORD.pack(begin_mono, time.monotonic()))


def empty() -> None:
    """Do nothing."""
    _note(time.monotonic())


def wait() -> None:
    """Wait for 100 ms."""
    begin_mono = time.monotonic()
    time.sleep(WAIT_S)
    _note(begin_mono)


def compute() -> None:
    """Compute for 20 ms of this thread's CPU time."""
    begin_mono, until_s, total = time.monotonic(), time.thread_time() + COMPUTE_S, 0
    while time.thread_time() < until_s:
        for number in range(_STEPS):
            total += number * number & 7
    _note(begin_mono)


def payload(text: str) -> None:
    """Take a text of 10 KiB."""
    begin_mono = time.monotonic()
    if len(text) != len(PAYLOAD):
        raise ValueError(f"The text has {len(text)} characters.")
    _note(begin_mono)


async def empty_coroutine() -> None:
    """Do nothing, on the loop."""
    empty()


async def wait_coroutine() -> None:
    """Wait for 100 ms, on the loop."""
    begin_mono = time.monotonic()
    await asyncio.sleep(WAIT_S)
    _note(begin_mono)


async def compute_coroutine() -> None:
    """Compute on the loop."""
    compute()


async def payload_coroutine(text: str) -> None:
    """Take a text of 10 KiB, on the loop."""
    payload(text)


FUNCTIONS: Mapping[str, Callable[..., None]] = {
    "empty": empty,
    "wait": wait,
    "compute": compute,
    "payload": payload,
}
COROUTINES: Mapping[str, Callable[..., Awaitable[None]]] = {
    "empty": empty_coroutine,
    "wait": wait_coroutine,
    "compute": compute_coroutine,
    "payload": payload_coroutine,
}
#: By the name of the workload, what a job of it is submitted with.
PARAMS: Mapping[str, Mapping[str, str]] = {
    "empty": {},
    "wait": {},
    "compute": {},
    "payload": {"text": PAYLOAD},
}
