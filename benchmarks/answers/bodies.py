"""What the jobs do, in plain Python: also for the Celery workers without Poolwise."""

import asyncio
import ctypes
import hashlib
import json
import subprocess
import time
from urllib.parse import urlsplit
from urllib.request import urlopen

_LIBC = ctypes.CDLL(None)
#: Never written: all of it is one page of zeros, which stays in the processor's cache.
_ZEROS = bytes(256 * 1024 * 1024)
_MIB = 1024 * 1024


def wait(duration_s: float) -> None:
    """Wait on a timer."""
    time.sleep(duration_s)


def wait_in_c(duration_s: float) -> None:
    """Wait in the C library, as a driver written in C does: it releases the GIL, and gevent cannot switch."""
    _LIBC.usleep(int(duration_s * 1e6))


def fetch(address: str) -> int:
    """Fetch a web address; return the size of its body in bytes."""
    with urlopen(address, timeout=30) as answer:
        return len(answer.read())


async def afetch(address: str) -> int:
    """Fetch a web address without blocking the event loop."""
    url = urlsplit(address)
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    try:
        writer.write(f"GET {url.path}?{url.query} HTTP/1.1\r\nHost: {url.netloc}\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        size = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        return len(await reader.readexactly(int(size.split(b":")[1])))
    finally:
        writer.close()


def python(steps: int) -> int:
    """Compute in pure Python; the GIL is held."""
    value = 1
    for _ in range(steps):
        value = (value * 1_103_515_245 + 12_345) & 0x7FFFFFFF
    return value


def sha256(size_mib: int) -> str:
    """Hash in one call of C that releases the GIL."""
    return hashlib.sha256(memoryview(_ZEROS)[: size_mib * _MIB]).hexdigest()


def json_round_trip(items: int) -> int:
    """Encode and decode a document; the GIL is held in long calls of C."""
    document = [{"id": index, "name": f"item {index}", "price": index / 7} for index in range(items)]
    return len(json.loads(json.dumps(document)))


def half(duration_s: float, size_mib: int) -> str:
    """Wait, then hash for about as long."""
    time.sleep(duration_s)
    return sha256(size_mib)


def checksum(text: str) -> int:
    """Return the FNV-1a checksum of a text, computed in pure Python."""
    value = 2_166_136_261
    for character in text:
        value = (value ^ ord(character)) * 16_777_619 & 0xFFFFFFFF
    return value


def child_process(duration_s: float) -> None:
    """Start a program that waits, and wait for it."""
    subprocess.run(["sleep", str(duration_s)], check=True)
