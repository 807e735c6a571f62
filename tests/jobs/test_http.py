"""HTTP jobs: what they fetch, and what they refuse to."""

import asyncio
import hashlib
import socket
import time
from typing import Any

import httpx
import pytest

from jobs import http
from jobs.demo_server import page_html
from poolwise import definitions
from poolwise.support.errors import InvalidParameters
from tests.helpers.pace import limit_s
from tests.jobs.conftest import Bodies


def both(addresses: list[str], timeout_s: float = 5.0) -> list[Any]:
    """Fetch with both clients; return a result or an error of each."""
    results: list[Any] = []
    for fetch in (http.fetch_all, lambda *args: asyncio.run(http.afetch_all(*args))):
        try:
            results.append(fetch(addresses, timeout_s))
        except Exception as error:
            results.append(error)
    return results


def test_addresses_are_fetched_and_counted(run: Bodies, demo_url: str) -> None:
    addresses = [f"{demo_url}/wait?ms=1&bytes=10", f"{demo_url}/wait?ms=1&bytes=5", f"{demo_url}/nothing"]
    sync, coroutine = run("io.http_get", addresses=addresses)
    assert sync == coroutine
    assert sync["statuses"] == {"200": 2, "404": 1}
    assert sync["bytes"] == 15 + len("Try /wait?ms=100&bytes=1000 or /page/1.\n")


def test_an_error_page_counts_as_an_answer(run: Bodies, hostile_url: str) -> None:
    sync, coroutine = run("io.http_get", addresses=[f"{hostile_url}/error"])
    assert sync == coroutine
    assert sync["statuses"] == {"500": 1}


def test_no_address_is_an_empty_result(run: Bodies) -> None:
    assert [result["fetched"] for result in run("io.http_get", addresses=[])] == [0, 0]


def test_pages_are_parsed_and_counted(run: Bodies, demo_url: str) -> None:
    sync, coroutine = run("mixed.fetch_and_count", pages=2, first=3)
    assert sync == coroutine
    text = page_html(3) + page_html(4)
    assert (sync["links"], sync["headings"]) == (text.count("<a "), text.count("<h2>"))
    assert sync["digest"] == hashlib.sha256(text.encode()).hexdigest()[:16]


def test_a_page_that_is_not_the_demo_servers_fails(hostile_url: str, settings: Any, run: Bodies) -> None:
    settings.JOB_HTTP_DEMO_URL = hostile_url
    with pytest.raises(http.FetchRefused, match="answers 500; is it the demo server"):
        run("mixed.fetch_and_count", pages=1)


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1:22/",
        "http://localhost:8099/",
        "http://127.0.0.1:8099@example.com/",
        "http://example.com:8099/",
        "https://127.0.0.1/",
        "ftp://127.0.0.1:8099/",
        "file:///etc/passwd",
        "//127.0.0.1:8099/",
        "127.0.0.1:8099",
        "http:///x",
        "http://127.0.0.1:99999/",
        "http://[::1",
        "http://127.0.0.1.:8099/",
        "http://2130706433:8099/",
        "http://a\nb:8099/",
        "",
    ],
)
def test_an_address_off_the_list_is_refused_at_submission(settings: Any, address: str) -> None:
    settings.JOB_HTTP_ALLOWED_HOSTS = ["127.0.0.1:8099"]
    with pytest.raises(InvalidParameters) as caught:
        definitions.get("io.http_get").validate({"addresses": [address]})
    assert caught.value.errors["addresses"].startswith("At 0: ")


@pytest.mark.parametrize(
    ("entry", "address"),
    [
        ("127.0.0.1:8099", "HTTP://127.0.0.1:8099/x"),
        (" Demo:80 ", "http://demo/"),
        ("demo", "http://DEMO:80/"),
        ("demo:443", "https://demo/"),
        ("[::1]:8099", "http://[::1]:8099/"),
    ],
)
def test_an_address_on_the_list_is_accepted(settings: Any, entry: str, address: str) -> None:
    settings.JOB_HTTP_ALLOWED_HOSTS = [entry]
    assert http.allowed(address)


def test_the_default_addresses_are_empty_when_the_demo_server_is_not_listed(
    settings: Any,
) -> None:
    assert len(http.demo_addresses()) == 3
    settings.JOB_HTTP_ALLOWED_HOSTS = []
    assert http.demo_addresses() == []


def test_a_redirect_on_the_list_is_followed(hostile_url: str) -> None:
    for pages in both([f"{hostile_url}/to//error"]):
        assert [(page.status, page.address) for page in pages] == [(500, f"{hostile_url}/error")]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("to/http://example.com:8099/", "only ports 80 and 443"),
        ("to/http://169.254.169.254/latest/meta-data/", "not on the public internet"),
        ("to/http://localhost/", "not on the public internet"),
        ("to/http://user@example.com/", "holds a user or a password"),
        ("to/file:///etc/passwd", "must begin with http"),
        ("to/http://127.0.0.1:1/", "only ports 80 and 443"),
        ("to/http://2852039166/", "not on the public internet"),
        ("flood", "more than 2,097,152 bytes"),
        ("drip", "did not finish its answer in time"),
    ],
)
def test_an_answer_that_breaks_a_limit_is_refused(hostile_url: str, path: str, text: str) -> None:
    begin = time.monotonic()
    for error in both([f"{hostile_url}/{path}"], timeout_s=0.3 if path == "drip" else 10.0):
        assert isinstance(error, http.FetchRefused)
        assert text in str(error)
    assert time.monotonic() - begin < limit_s(5)


def test_redirects_in_a_circle_end(hostile_url: str) -> None:
    for error in both([f"{hostile_url}/round"]):
        assert isinstance(error, http.FetchRefused)
        assert "more than 3 times" in str(error)


@pytest.mark.slow
def test_slow_headers_end_by_the_time_limit_of_the_fetch(hostile_url: str) -> None:
    begin = time.monotonic()
    for error in both([f"{hostile_url}/slowhead"], timeout_s=0.4):
        assert isinstance(error, httpx.ReadTimeout)
    assert time.monotonic() - begin < limit_s(4)


def test_a_compressed_answer_is_counted_as_sent_and_not_decompressed(hostile_url: str) -> None:
    for pages in both([f"{hostile_url}/bomb"]):
        assert len(pages[0].body) < 20_000


def test_a_site_may_allow_listed_hosts_alone(settings: Any) -> None:
    settings.JOB_HTTP_PUBLIC = False
    with pytest.raises(http.FetchRefused, match="not in JOB_HTTP_ALLOWED_HOSTS; ask the operator"):
        http.allowed("https://example.com/")
    settings.JOB_HTTP_ALLOWED_HOSTS = ["example.com:443"]
    assert http.allowed("https://example.com/")


def test_a_server_that_never_answers_ends_in_a_time_out(settings: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        host = f"127.0.0.1:{silent.getsockname()[1]}"
        settings.JOB_HTTP_ALLOWED_HOSTS = [host]
        for error in both([f"http://{host}/"], timeout_s=0.2):
            assert isinstance(error, httpx.TimeoutException)
            assert isinstance(error, definitions.get("io.http_get").retry_on)


def test_no_proxy_of_the_environment_is_used(demo_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    assert [page.status for pages in both([f"{demo_url}/page/1"]) for page in pages] == [200, 200]
