"""HTTP that reaches only the hosts that the operator listed, with every size and time bounded."""

import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Annotated, Any

import httpx
from django.conf import settings
from pydantic import AfterValidator, Field

from jobs.errors import PoolwiseError

MAX_RESPONSE_BYTES = 2 * 1024 * 1024
MAX_REDIRECTS = 3
_DEFAULT_PORTS = {"http": 80, "https": 443}
_REDIRECTS = frozenset((301, 302, 303, 307, 308))


class FetchRefused(PoolwiseError):
    """The address is not on the list of allowed hosts, or its answer breaks a bound."""


@dataclass(slots=True)
class Page:
    """The answer to one request, as it grows."""

    address: str
    status: int
    deadline_mono: float
    body: bytearray = field(default_factory=bytearray)

    def add(self, chunk: bytes) -> None:
        """Keep a piece of the body. Raise FetchRefused past the bounds of size and time."""
        self.body += chunk
        if len(self.body) > MAX_RESPONSE_BYTES:
            raise FetchRefused(f"{self.address} sends more than {MAX_RESPONSE_BYTES:,} bytes.")
        if time.monotonic() > self.deadline_mono:
            raise FetchRefused(
                f"{self.address} did not finish its answer in time; allow more with timeout_s."
            )


def allowed(address: str | httpx.URL) -> httpx.URL:
    """Return the address as a URL. Raise FetchRefused unless its host and port are on the operator's list."""
    try:
        url = httpx.URL(address)
    except (httpx.InvalidURL, TypeError, ValueError) as error:
        raise FetchRefused(f"{str(address)[:200]!r} is no web address: {error}") from error
    if url.scheme not in _DEFAULT_PORTS or not url.host:
        raise FetchRefused(f"{str(url)[:200]!r} must begin with http:// or https:// and name a host.")
    host = f"[{url.host}]" if ":" in url.host else url.host
    port = url.port or _DEFAULT_PORTS[url.scheme]
    names = {f"{host}:{port}"} | ({host} if port == _DEFAULT_PORTS[url.scheme] else set())
    if not names & {entry.strip().lower() for entry in settings.JOB_HTTP_ALLOWED_HOSTS}:
        raise FetchRefused(f"{host}:{port} is not among JOB_HTTP_ALLOWED_HOSTS; ask the operator to add it.")
    return url


def _listed(address: str) -> str:
    try:
        return str(allowed(address))
    except FetchRefused as error:
        raise ValueError(str(error)) from error


Address = Annotated[str, Field(max_length=2000), AfterValidator(_listed)]
Timeout = Annotated[float, Field(ge=0.1, le=60, description="Seconds that each answer may take.")]


def demo_addresses() -> list[str]:
    """Return a few addresses of the demo server; none when the operator does not list it."""
    try:
        return [_listed(f"{settings.JOB_HTTP_DEMO_URL}/wait?ms={ms}&bytes=1000") for ms in (20, 40, 60)]
    except ValueError:
        return []


def fetch_all(addresses: Sequence[str], timeout_s: float) -> list[Page]:
    """Return the answers, fetched one after another. Raise FetchRefused and httpx.TransportError."""
    with httpx.Client(**_client_options(timeout_s)) as client:
        return [_fetch(client, address, timeout_s) for address in addresses]


async def afetch_all(addresses: Sequence[str], timeout_s: float) -> list[Page]:
    """Return the answers, awaited one after another, so that the pools compare and not the bodies."""
    async with httpx.AsyncClient(**_client_options(timeout_s)) as client:
        return [await _afetch(client, address, timeout_s) for address in addresses]


def _fetch(client: httpx.Client, address: str, timeout_s: float) -> Page:
    url, deadline_mono = allowed(address), time.monotonic() + timeout_s
    for _ in range(MAX_REDIRECTS + 1):
        with client.stream("GET", url) as response:
            target = _redirect_target(response)
            if target is None:
                page = Page(str(url), response.status_code, deadline_mono)
                for chunk in response.iter_raw():
                    page.add(chunk)
                return page
            url = target
    raise FetchRefused(f"{address} redirects more than {MAX_REDIRECTS} times.")


async def _afetch(client: httpx.AsyncClient, address: str, timeout_s: float) -> Page:
    url, deadline_mono = allowed(address), time.monotonic() + timeout_s
    for _ in range(MAX_REDIRECTS + 1):
        async with client.stream("GET", url) as response:
            target = _redirect_target(response)
            if target is None:
                page = Page(str(url), response.status_code, deadline_mono)
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
        "trust_env": False,  # a proxy would reach what the list forbids
        "verify": _tls(),
        "headers": {"Accept-Encoding": "identity", "User-Agent": "Poolwise"},
    }


@cache
def _tls() -> ssl.SSLContext:
    # Loading the certificates costs more CPU than a request, and would count as the job's own.
    return ssl.create_default_context()
