"""Where HTTP jobs cannot get to: by no spelling, no redirect, no second answer of the resolver."""

import asyncio
import socket
import ssl
import threading
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any

import httpcore
import httpx
import pytest
from django.conf import settings

from jobs import addresses, egress, http
from poolwise import definitions
from poolwise.lifecycle.submission import submit
from poolwise.support.errors import InvalidParameters
from tests.helpers.platform import Platform

PUBLIC = "93.184.215.14"
INNER = [
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.100.100.200", "100.127.255.255", "127.0.0.1", "127.255.255.254",
    "168.63.129.16", "169.254.169.254", "169.254.170.2", "172.16.0.1", "172.31.255.255", "192.0.0.8", "192.0.0.192",
    "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1",
    "239.255.255.250", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::127.0.0.1", "::169.254.169.254", "::ffff:127.0.0.1", "::ffff:93.184.215.14", "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe", "64:ff9b:1::a9fe:a9fe", "100::1", "2001::1", "2001:0:7f00:1::", "2001:db8::1", "2001:10::1",
    "2002:7f00:1::", "2002:a9fe:a9fe::", "3fff::1", "5f00::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0",
    "fec0::1", "ff02::1", "ff05::2", "4000::1", "no address", "",
]  # fmt: skip
OUTSIDE = [
    PUBLIC,
    "8.8.8.8",
    "1.1.1.1",
    "100.63.255.255",
    "100.128.0.0",
    "168.63.129.17",
    "2606:4700::1111",
    "2a00:1450::1",
]
SPELLINGS = [
    "127.0.0.1", "2130706433", "0x7f000001", "0177.0.0.1", "127.1", "127.0.1", "017700000001", "0x7f.1", "0x7f.0.0.0x1",
    "0", "0.0.0.0", "127.0.0.1.", "\uff11\uff12\uff17.\uff10.\uff10.\uff11", "\u2460\u2461\u2466.\u24ea.\u24ea.\u2460",
    "127\u30020\u30020\u30021", "127\uff0e0\uff0e0\uff0e1", "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]",
    "[::127.0.0.1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "localhost", "LOCALHOST", "localhost.", "2852039166",
    "0xa9fea9fe", "169.254.43518", "169.254.169.254", "[fd00:ec2::254]", "[fe80::1]", "168.63.129.16",
]  # fmt: skip


@pytest.mark.parametrize("address", INNER)
def test_a_private_address_is_not_public(address: str) -> None:
    assert not addresses.is_public(address)


@pytest.mark.parametrize("address", OUTSIDE)
def test_a_public_address_is_public(address: str) -> None:
    assert addresses.is_public(address)


class Listener:
    """A real server on this machine that counts who connects to it."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.server = socket.create_server((host, 0))
        self.port, self.connections, self.received = self.server.getsockname()[1], 0, b""
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self.server.accept()
            except OSError:
                return
            self.connections += 1
            with connection:
                self.received += connection.recv(4096)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi")


@pytest.fixture
def listener(monkeypatch: pytest.MonkeyPatch, settings: Any) -> Iterator[Listener]:
    """A listener that every connection to port 80 would reach; nothing is listed."""
    listener = Listener()
    settings.JOB_HTTP_ALLOWED_HOSTS = []
    for backend in (httpcore.SyncBackend, httpcore.AnyIOBackend):
        _redirect(backend, listener.port, monkeypatch)
    yield listener
    listener.server.close()


def _redirect(backend: Any, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    connect = backend.connect_tcp

    def connect_here(self: Any, host: str, asked: int, *args: Any, **kwargs: Any) -> Any:
        assert ip_address(host), "only a checked address is connected to, never a name"
        return connect(self, "127.0.0.1", port, *args, **kwargs)

    monkeypatch.setattr(backend, "connect_tcp", connect_here)


def _fetched(address: str, timeout_s: float = 2.0) -> list[Any]:
    outcomes: list[Any] = []
    for fetch in (http.fetch_all, lambda *args: asyncio.run(http.afetch_all(*args))):
        try:
            outcomes.append(fetch([address], timeout_s)[0].body)
        except Exception as error:
            outcomes.append(error)
    return outcomes


def answers(monkeypatch: pytest.MonkeyPatch, *rounds: list[str]) -> list[str]:
    """Make the resolver return one list per look-up, then the last one; return the names that are looked up."""
    asked: list[str] = []

    def lookup(host: str, port: int) -> list[str]:
        asked.append(host)
        return rounds[min(len(asked), len(rounds)) - 1]

    monkeypatch.setattr(egress, "_lookup", lookup)
    return asked


@pytest.mark.parametrize("host", SPELLINGS)
def test_no_spelling_of_a_private_address_is_connected_to(listener: Listener, host: str) -> None:
    for error in _fetched(f"http://{host}/"):
        assert isinstance(error, http.FetchRefused | httpx.ConnectError), error
        if isinstance(error, httpx.ConnectError):
            assert "cannot be resolved" in str(error)
    assert listener.connections == 0


@pytest.mark.parametrize("host", [host for host in SPELLINGS if not host.lower().startswith("localhost")])
def test_a_literal_address_is_refused_at_submission_already(settings: Any, host: str) -> None:
    settings.JOB_HTTP_ALLOWED_HOSTS = []
    with pytest.raises(InvalidParameters) as caught:
        definitions.get("io.http_get").validate({"addresses": [f"http://{host}/"]})
    assert "addresses" in caught.value.errors


def test_a_public_name_is_connected_to_by_its_checked_address(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = answers(monkeypatch, [PUBLIC])
    assert _fetched("http://shop.example/price") == [b"hi", b"hi"]
    assert listener.received.count(b"Host: shop.example\r\n") == 2
    assert asked == ["shop.example", "shop.example"], "resolved once for each fetch"


def test_a_second_answer_of_the_resolver_is_not_used(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    for fetch in range(2):
        asked = answers(monkeypatch, [PUBLIC], ["127.0.0.1"])
        assert _fetched("http://rebinding.example/")[0] == b"hi"
        assert asked[0] == "rebinding.example", fetch
    before = listener.connections
    answers(monkeypatch, ["127.0.0.1"], [PUBLIC])
    assert isinstance(_fetched("http://rebinding.example/")[0], http.FetchRefused)
    answers(monkeypatch, ["127.0.0.1"])
    assert all(isinstance(error, http.FetchRefused) for error in _fetched("http://rebinding.example/"))
    assert listener.connections == before + 1, (
        "the coroutine's own question was answered with the public address"
    )


@pytest.mark.parametrize("inner", ["10.0.0.1", "169.254.169.254", "::1", "fe80::1%eth0", "::ffff:10.0.0.1"])
def test_one_private_address_among_public_ones_refuses_them_all(
    listener: Listener, monkeypatch: pytest.MonkeyPatch, inner: str
) -> None:
    answers(monkeypatch, [PUBLIC, inner])
    for error in _fetched("http://mixed.example/"):
        assert isinstance(error, http.FetchRefused)
        assert f"mixed.example resolves to {inner}" in str(error)
        assert "JOB_HTTP_ALLOWED_HOSTS" in str(error)
    assert listener.connections == 0


def test_a_redirect_is_resolved_and_checked_like_an_address(
    hostile_url: str, listener: Listener, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()  # the hostile server is really connected to
    settings.JOB_HTTP_ALLOWED_HOSTS = [hostile_url.removeprefix("http://")]
    answers(monkeypatch, ["169.254.169.254"])
    for error in _fetched(f"{hostile_url}/to/http://metadata.example/latest/"):
        assert isinstance(error, http.FetchRefused)
        assert "169.254.169.254" in str(error)


def test_a_resolver_that_does_not_answer_ends_in_time(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(egress, "RESOLVE_WITHIN_S", 0.2)
    ended = threading.Event()
    monkeypatch.setattr(egress, "_lookup", lambda host, port: ended.wait(2) and [])
    guard = egress.Guard(http.is_listed)
    with pytest.raises(httpcore.ConnectTimeout, match=r"not resolved within 0\.2 s"):
        egress.GuardedBackend(guard).connect_tcp("slow.example", 80, timeout=5)

    async def ask() -> None:
        try:
            await egress.AsyncGuardedBackend(guard).connect_tcp("slow.example", 80, timeout=5)
        finally:
            ended.set()

    with pytest.raises(httpcore.ConnectTimeout, match=r"not resolved within 0\.2 s"):
        asyncio.run(ask())


@pytest.mark.parametrize(
    "error", [socket.gaierror(-2, "unknown"), UnicodeError("label too long"), OSError("no network")]
)
def test_a_name_that_cannot_be_resolved_is_retried(
    listener: Listener, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def lookup(host: str, port: int) -> list[str]:
        raise error

    monkeypatch.setattr(egress, "_lookup", lookup)
    for raised in _fetched("http://unknown.example/"):
        assert isinstance(raised, httpx.ConnectError)
        assert isinstance(raised, definitions.get("io.http_get").retry_on)
    monkeypatch.setattr(egress, "_lookup", lambda host, port: [])
    assert all("has no address" in str(raised) for raised in _fetched("http://unknown.example/"))


def test_a_listed_host_may_have_any_address_but_only_its_port(settings: Any) -> None:
    server = Listener()
    settings.JOB_HTTP_ALLOWED_HOSTS = [f"localhost:{server.port}"]
    assert _fetched(f"http://localhost:{server.port}/") == [b"hi", b"hi"]
    assert all(isinstance(error, http.FetchRefused) for error in _fetched(f"http://127.0.0.1:{server.port}/"))
    assert all(isinstance(error, http.FetchRefused) for error in _fetched("http://localhost/"))
    assert server.connections == 2
    server.server.close()


def test_tls_uses_the_name_and_not_the_address(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    names: list[str | None] = []
    wrap = ssl.SSLContext.wrap_socket

    def noted(self: Any, sock: Any, *args: Any, server_hostname: str | None = None, **kwargs: Any) -> Any:
        names.append(server_hostname)
        return wrap(self, sock, *args, server_hostname=server_hostname, **kwargs)

    monkeypatch.setattr(ssl.SSLContext, "wrap_socket", noted)
    answers(monkeypatch, [PUBLIC])
    with pytest.raises(httpx.ConnectError):  # the listener has no TLS
        http.fetch_all(["https://shop.example/"], 2.0)
    assert names == ["shop.example"]


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("http://user:password@example.com/", "user or a password"),
        ("http://user@example.com/", "user or a password"),
        ("http://example.com:22/", "only ports 80 and 443"),
        ("https://example.com:8443/", "only ports 80 and 443"),
        ("gopher://example.com/", "must begin with http"),
        ("http://example.com/" + "x" * 2_000, "longer than 2,000"),
    ],
)
def test_an_address_that_breaks_a_rule_names_it(settings: Any, address: str, text: str) -> None:
    with pytest.raises(http.FetchRefused, match=text):
        http.allowed(address)


def test_a_proxy_of_the_environment_is_not_used(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    answers(monkeypatch, [PUBLIC])
    assert _fetched("http://shop.example/") == [b"hi", b"hi"]


@pytest.mark.services
@pytest.mark.django_db(transaction=True)
def test_every_pool_refuses_a_name_with_a_private_address(platform: Platform) -> None:
    jobs = [
        submit("io.http_get", {"addresses": ["http://localhost/"]}, pool=pool)[0]
        for pool in settings.JOB_POOLS
    ]
    platform.wait_for(*jobs)
    for job in jobs:
        assert (job.state, job.error_type, job.attempt) == ("failed", "FetchRefused", 1), job.pool
        assert "not on the public internet" in job.error
        assert job.run_s < egress.RESOLVE_WITHIN_S
