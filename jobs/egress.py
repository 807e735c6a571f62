"""Connections of HTTP jobs: resolve a name once, check every address, connect to a checked address.

Checking a name and then connecting by that name is not safe: the second look-up may return another address.
"""

import asyncio
import queue
import socket
import threading
import time
from collections.abc import Callable, Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

import httpcore
import httpx

from poolwise import PoolwiseError

RESOLVE_WITHIN_S = 5.0
#: Beside those that `ipaddress` calls not global. Some services of cloud providers have public addresses, and five
#: kinds of IPv6 address contain an IPv4 one (compatible, mapped, NAT64, Teredo within 2001::/23, 6to4).
_FORBIDDEN = [
    ip_network(text)
    for text in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "168.63.129.16/32", "169.254.0.0/16", "172.16.0.0/12",
        "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24",
        "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4", "::/96", "::ffff:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48",
        "100::/64", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", "5f00::/16", "fc00::/7", "fe80::/10",
        "fec0::/10", "ff00::/8",
    )
]  # fmt: skip
_IPV6_UNICAST = ip_network("2000::/3")

type Lookup = Callable[[str, int], list[str]]


class FetchRefused(PoolwiseError):
    """HTTP jobs may not fetch this address, or its answer is too large or too slow."""


def is_public(address: str) -> bool:
    """Return whether an IP address is on the public internet and in no private network."""
    try:
        parsed = ip_address(address)
    except ValueError:  # a zone, as in fe80::1%eth0
        return False
    if isinstance(parsed, IPv6Address) and parsed not in _IPV6_UNICAST:
        return False
    return parsed.is_global and not any(parsed in net for net in _FORBIDDEN if net.version == parsed.version)


def literal(host: str) -> IPv4Address | IPv6Address | None:
    """Return the address that a host is, as the C library parses it (0x7f.1, 017700000001, 2130706433), or None."""
    try:
        return ip_address(host.strip("[]"))
    except ValueError:
        pass
    try:
        return IPv4Address(socket.inet_aton(host.removesuffix("."))) if " " not in host else None
    except (OSError, ValueError):
        return None


def checked(host: str, addresses: Iterable[str]) -> list[str]:
    """Return a host's addresses in their order. Raise FetchRefused unless there are some and all are public."""
    distinct = list(dict.fromkeys(addresses))
    if not distinct:
        raise httpcore.ConnectError(f"{host} has no address")
    if private := [address for address in distinct if not is_public(address)]:
        raise FetchRefused(
            f"{host} resolves to {private[0][:60]}, which is not on the public internet: HTTP jobs may not fetch from "
            "private, loopback, link-local and metadata addresses, unless the operator lists host:port in "
            "JOB_HTTP_ALLOWED_HOSTS."
        )
    return distinct


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
            addresses = checked(
                host, [str(address)] if (address := literal(host)) else _resolve(host, port, within_s)
            )
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
        elif address := literal(host):
            addresses = checked(host, [str(address)])
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
