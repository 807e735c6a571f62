"""Addresses of IPv6 on the developer's machine."""

import socket

import pytest

from dev import up
from dev.ports import in_url, is_free


@pytest.mark.parametrize("host", ["::1", "[::1]"])
def test_a_port_of_an_ipv6_address_is_free_until_a_server_listens_there(host: str) -> None:
    with socket.socket(socket.AF_INET6) as server:
        server.bind(("::1", 0))
        port = server.getsockname()[1]
        server.listen()
        assert not is_free(port, host)
    assert is_free(port, host)


@pytest.mark.parametrize(
    ("host", "shown"),
    [("::1", "[::1]"), ("[::1]", "[::1]"), ("::", "[::]"), ("127.0.0.1", "127.0.0.1"), ("box", "box")],
)
def test_a_server_and_its_address_get_an_ipv6_host_in_brackets(
    monkeypatch: pytest.MonkeyPatch, host: str, shown: str
) -> None:
    monkeypatch.setenv("HOST", host)
    assert in_url(host) == up._environment()["HOST"] == shown
    assert up._address({**up._environment(), "PORT": "8000"}) == f"http://{shown}:8000/"
