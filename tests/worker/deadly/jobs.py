"""Jobs that end their own process, or what they may take of it for the whole."""

import asyncio
import ctypes
import os
import resource
import signal
import sys
from collections.abc import Callable

from poolwise import job

#: What a process may take beyond what it has; its worker goes on with the limit that it had before.
_ROOM_BYTES = 256 * 1024 * 1024


def _use_all_memory() -> None:
    limits = resource.getrlimit(resource.RLIMIT_AS)
    with open("/proc/self/statm") as file:
        used_bytes = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used_bytes + _ROOM_BYTES, limits[1]))
    kept = []
    try:
        while True:
            kept.append(bytearray(_ROOM_BYTES // 8))
    finally:
        kept.clear()
        resource.setrlimit(resource.RLIMIT_AS, limits)


#: What each way does.
WAYS: dict[str, Callable[[], object]] = {
    "segfault": lambda: ctypes.string_at(0),
    "exit": lambda: os._exit(3),
    "abort": os.abort,
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "sys_exit": lambda: sys.exit(3),
    "memory": _use_all_memory,
}


@job(name="deadly.end", title="End the process", max_attempts=2)
def end(way: str) -> None:
    """End the process, in a plain function."""
    WAYS[way]()


@job(name="deadly.end_in_coroutine", title="End the process in a coroutine", max_attempts=1)
async def end_in_coroutine(way: str) -> None:
    """End the process, in a coroutine."""
    await asyncio.sleep(0)
    WAYS[way]()
