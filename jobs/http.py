"""Fetch from the public internet and from hosts that the operator lists, with limits on every size and time."""

import asyncio
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Annotated, Any

import httpx
from django.conf import settings
from pydantic import AfterValidator, Field

from jobs import addresses as ip_addresses
from jobs import egress
from jobs.addresses import FetchRefused

__all__ = [
    "Address",
    "FetchRefused",
    "FetchedPage",
    "Timeout",
    "afetch_all",
    "allowed",
    "demo_addresses",
    "fetch_all",
]

MAX_RESPONSE_BYTES = 2 * 1024 * 1024
MAX_REDIRECTS = 3
MAX_ADDRESS_CHARS = 2_000
#: A body that is late is refused at its next chunk; a server that sends no chunk is cut off this much later.
_SLACK_S = 0.3
_DEFAULT_PORTS = {"http": 80, "https": 443}
_REDIRECTS = frozenset((301, 302, 303, 307, 308))


@dataclass(slots=True)
class FetchedPage:
    """The answer to one request, while its body arrives."""

    address: str
    status: int
    deadline_mono: float
    body: bytearray = field(default_factory=bytearray)

    def add(self, chunk: bytes) -> None:
        """Append a chunk of the body. Raise FetchRefused beyond the limits of size and time."""
        self.body += chunk
        if len(self.body) > MAX_RESPONSE_BYTES:
            raise FetchRefused(f"{self.address} sends more than {MAX_RESPONSE_BYTES:,} bytes.")
        if time.monotonic() > self.deadline_mono:
            raise FetchRefused(f"{self.address} did not finish its answer in time; raise timeout_s.")


def allowed(address: str | httpx.URL) -> httpx.URL:
    """Return the address as a URL that may be fetched; connecting then checks what its name resolves to.

    Raise FetchRefused.
    """
    try:
        url = httpx.URL(address)
    except (httpx.InvalidURL, TypeError, ValueError) as error:
        raise FetchRefused(f"{str(address)[:200]!r} is no web address: {error}") from error
    if url.scheme not in _DEFAULT_PORTS or not url.host:
        raise FetchRefused(f"{str(url)[:200]!r} must begin with http:// or https:// and name a host.")
    if url.userinfo:
        raise FetchRefused(f"The address of {url.host} holds a user or a password: leave them out.")
    if len(str(url)) > MAX_ADDRESS_CHARS:
        raise FetchRefused(f"The address of {url.host} is longer than {MAX_ADDRESS_CHARS:,} characters.")
    port = url.port or _DEFAULT_PORTS[url.scheme]
    if not is_listed(url.host, port):
        _check_unlisted(url.host, port)
    return url


def is_listed(host: str, port: int) -> bool:
    """Return whether JOB_HTTP_ALLOWED_HOSTS lists host and port: such a host may have any address."""
    host = f"[{host}]" if ":" in host else host
    names = {f"{host}:{port}"} | ({host} if port in _DEFAULT_PORTS.values() else set())
    return bool(names & {entry.strip().lower() for entry in settings.JOB_HTTP_ALLOWED_HOSTS})


def _check_unlisted(host: str, port: int) -> None:
    where = f"{host}:{port}"
    if not settings.JOB_HTTP_PUBLIC:
        raise FetchRefused(f"{where} is not in JOB_HTTP_ALLOWED_HOSTS; ask the operator to add it.")
    if port not in _DEFAULT_PORTS.values():
        raise FetchRefused(
            f"{where}: only ports 80 and 443 are allowed, unless JOB_HTTP_ALLOWED_HOSTS lists it; ask the operator."
        )
    if ip := ip_addresses.literal(host):
        ip_addresses.checked(host, [str(ip)])


def _listed(address: str) -> str:
    try:
        return str(allowed(address))
    except FetchRefused as error:
        raise ValueError(str(error)) from error


Address = Annotated[str, Field(max_length=MAX_ADDRESS_CHARS), AfterValidator(_listed)]
Timeout = Annotated[float, Field(ge=0.1, le=60, description="Time limit of each answer in seconds.")]


def demo_addresses() -> list[str]:
    """Return a few addresses of the demo server; none when the operator does not list it."""
    try:
        return [_listed(f"{settings.JOB_HTTP_DEMO_URL}/wait?ms={ms}&bytes=1000") for ms in (20, 40, 60)]
    except ValueError:
        return []


def fetch_all(addresses: Sequence[str], timeout_s: float) -> list[FetchedPage]:
    """Return the answers, fetched one after another. Raise FetchRefused and httpx.TransportError."""
    guard = egress.Guard(is_listed)
    with httpx.Client(transport=egress.transport(guard, _tls()), **_client_options(timeout_s)) as client:
        return [_fetch(client, guard, address, timeout_s) for address in addresses]


async def afetch_all(addresses: Sequence[str], timeout_s: float) -> list[FetchedPage]:
    """Return the answers, awaited one after another like in the sync body, so that only the pools differ."""
    transport = egress.async_transport(egress.Guard(is_listed), _tls())
    async with httpx.AsyncClient(transport=transport, **_client_options(timeout_s)) as client:
        return [await _afetch(client, address, timeout_s) for address in addresses]


def _fetch(client: httpx.Client, guard: egress.Guard, address: str, timeout_s: float) -> FetchedPage:
    url, deadline_mono = allowed(address), time.monotonic() + timeout_s
    guard.deadline_mono = deadline_mono + _SLACK_S
    for _ in range(MAX_REDIRECTS + 1):
        with client.stream("GET", url) as response:
            target = _redirect_target(response)
            if target is None:
                page = FetchedPage(str(url), response.status_code, deadline_mono)
                for chunk in response.iter_raw():
                    page.add(chunk)
                return page
            url = target
    raise FetchRefused(f"{address} redirects more than {MAX_REDIRECTS} times.")


async def _afetch(client: httpx.AsyncClient, address: str, timeout_s: float) -> FetchedPage:
    try:
        async with asyncio.timeout(timeout_s + _SLACK_S):
            return await _follow(client, address, timeout_s)
    except TimeoutError:
        raise httpx.ReadTimeout(f"{address} did not answer within {timeout_s} s") from None


async def _follow(client: httpx.AsyncClient, address: str, timeout_s: float) -> FetchedPage:
    url, deadline_mono = allowed(address), time.monotonic() + timeout_s
    for _ in range(MAX_REDIRECTS + 1):
        async with client.stream("GET", url) as response:
            target = _redirect_target(response)
            if target is None:
                page = FetchedPage(str(url), response.status_code, deadline_mono)
                async for chunk in response.aiter_raw():
                    page.add(chunk)
                return page
            url = target
    raise FetchRefused(f"{address} redirects more than {MAX_REDIRECTS} times.")


def _redirect_target(response: httpx.Response) -> httpx.URL | None:
    location = response.headers.get("location")
    if response.status_code not in _REDIRECTS or not location:
        return None
    try:
        return allowed(response.url.join(location))
    except httpx.InvalidURL as error:
        raise FetchRefused(f"{response.url} redirects to no web address.") from error


def _client_options(timeout_s: float) -> dict[str, Any]:
    return {
        "timeout": timeout_s,
        "follow_redirects": False,  # each hop is checked against the list
        "trust_env": False,  # a proxy could reach addresses that are forbidden here
        # Bodies are never decompressed: the size limit counts the bytes that a server sends.
        "headers": {"Accept-Encoding": "identity", "User-Agent": "Poolwise"},
    }


@cache
def _tls() -> ssl.SSLContext:
    # Loading the certificates costs more CPU than a request, and would count as CPU time of the job.
    return ssl.create_default_context()
