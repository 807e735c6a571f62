"""Connections of HTTP jobs: resolve a name once, check every address, connect to a checked address.

Checking a name and then connecting by that name is not safe: the second look-up may return another address.
"""

import asyncio
import queue
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import httpcore
import httpx

from jobs.addresses import checked, literal

RESOLVE_WITHIN_S = 5.0


def _lookup(host: str, port: int) -> list[str]:
    return [str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def _resolve(host: str, port: int, within_s: float) -> list[str]:
    """Resolve in a thread, since a look-up has no time-out of its own. Raise httpcore's errors."""
    answers: queue.SimpleQueue[list[str] | OSError] = queue.SimpleQueue()

    def resolve() -> None:
        try:
            answers.put(_lookup(host, port))
        except (OSError, UnicodeError) as error:
            answers.put(error if isinstance(error, OSError) else OSError(str(error)))

    threading.Thread(target=resolve, name="resolver", daemon=True).start()
    try:
        answer = answers.get(timeout=within_s)
    except queue.Empty:
        raise httpcore.ConnectTimeout(f"{host} was not resolved within {within_s:.1f} s") from None
    if isinstance(answer, OSError):
        raise httpcore.ConnectError(f"{host} cannot be resolved: {answer}") from answer
    return answer


class Guard:
    """What the two backends share: the hosts that need no check, and the deadline of a fetch."""

    def __init__(self, is_listed: Callable[[str, int], bool]) -> None:
        self.is_listed = is_listed
        self.deadline_mono = float("inf")

    def left_s(self, timeout_s: float | None) -> float:
        """Return the seconds that one step may still take. Raise httpcore.ReadTimeout past the deadline."""
        left_s = self.deadline_mono - time.monotonic()
        if left_s <= 0:
            raise httpcore.ReadTimeout("the answer did not end in time")
        return left_s if timeout_s is None else min(left_s, timeout_s)


class GuardedBackend(httpcore.SyncBackend):
    """Connects to checked addresses, in threads, processes and greenlets."""

    def __init__(self, guard: Guard) -> None:
        self.guard = guard

    def connect_tcp(
        self, host: str, port: int, timeout: float | None = None, local_address: str | None = None,
        socket_options: Any = None,
    ) -> httpcore.NetworkStream:  # fmt: skip
        """Connect. Raise FetchRefused, and httpcore's errors."""
        if self.guard.is_listed(host, port):
            addresses = [host]
        else:
            within_s = min(RESOLVE_WITHIN_S, self.guard.left_s(timeout))
            addresses = checked(host, [str(ip)] if (ip := literal(host)) else _resolve(host, port, within_s))
        for number, address in enumerate(addresses, start=1):
            try:
                left_s = self.guard.left_s(timeout)
                stream = super().connect_tcp(address, port, left_s, local_address, socket_options)
                return _WithDeadline(stream, self.guard)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                if number == len(addresses):
                    raise
        raise AssertionError("unreachable: `checked` returns at least one address")


class _WithDeadline(httpcore.NetworkStream):
    """A stream whose every step ends by the deadline of the whole fetch, however slowly bytes arrive."""

    def __init__(self, stream: httpcore.NetworkStream, guard: Guard) -> None:
        self._stream, self._guard = stream, guard

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._guard.left_s(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._guard.left_s(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        left_s = self._guard.left_s(timeout)
        return _WithDeadline(self._stream.start_tls(ssl_context, server_hostname, left_s), self._guard)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class AsyncGuardedBackend(httpcore.AnyIOBackend):
    """Connects to checked addresses on an event loop; the caller limits the fetch with `asyncio.timeout`."""

    def __init__(self, guard: Guard) -> None:
        self.guard = guard

    async def connect_tcp(
        self, host: str, port: int, timeout: float | None = None, local_address: str | None = None,
        socket_options: Any = None,
    ) -> httpcore.AsyncNetworkStream:  # fmt: skip
        """Connect. Raise FetchRefused, and httpcore's errors."""
        if self.guard.is_listed(host, port):
            addresses = [host]
        elif ip := literal(host):
            addresses = checked(host, [str(ip)])
        else:
            addresses = checked(host, await self._resolve(host, port))
        for number, address in enumerate(addresses, start=1):
            try:
                return await super().connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                if number == len(addresses):
                    raise
        raise AssertionError("unreachable: `checked` returns at least one address")

    async def _resolve(self, host: str, port: int) -> list[str]:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(RESOLVE_WITHIN_S):
                return await loop.run_in_executor(None, _lookup, host, port)
        except TimeoutError:
            raise httpcore.ConnectTimeout(
                f"{host} was not resolved within {RESOLVE_WITHIN_S:.1f} s"
            ) from None
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError(f"{host} cannot be resolved: {error}") from error


def transport(guard: Guard, tls: Any) -> httpx.HTTPTransport:
    """Return a transport for httpx that connects through the guard."""
    guarded = httpx.HTTPTransport(verify=tls, trust_env=False)
    # httpx has no option for it; tests/jobs/test_egress.py fails if the attribute moves.
    guarded._pool = httpcore.ConnectionPool(ssl_context=tls, network_backend=GuardedBackend(guard))
    return guarded


def async_transport(guard: Guard, tls: Any) -> httpx.AsyncHTTPTransport:
    """Return a transport for httpx that connects through the guard, for coroutines."""
    guarded = httpx.AsyncHTTPTransport(verify=tls, trust_env=False)
    guarded._pool = httpcore.AsyncConnectionPool(ssl_context=tls, network_backend=AsyncGuardedBackend(guard))
    return guarded
