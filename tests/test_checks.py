from typing import Any

import pytest
from django.core.checks import Error, Warning, run_checks

from poolwise import pools
from poolwise.checks import check_default_pools, check_definition_pools, check_pools
from poolwise.support.settings_checks import check_addresses, check_numbers

SOUND = {"model": "threads", "queue": "q", "concurrency": 2}


def nothing() -> None:
    """Do nothing."""


@pytest.mark.parametrize(
    ("declared", "found", "text"),
    [
        ({}, "poolwise.E001", "declares no pool"),
        ([], "poolwise.E001", "declares no pool"),
        (None, "poolwise.E001", "declares no pool"),
        ("threads", "poolwise.E001", "declares no pool"),
        (
            {"a": {**SOUND, "model": "fibers"}},
            "poolwise.E002",
            "use one of prefork, threads, gevent, asyncio",
        ),
        ({"a": {**SOUND, "modle": 1}}, "poolwise.E002", "use model, queue, concurrency"),
        ({"a": {**SOUND, "concurrency": 0}}, "poolwise.E002", "from 1 to 10000"),
        ({"a": {**SOUND, "concurrency": 10_001}}, "poolwise.E002", "from 1 to 10000"),
        ({"a": {**SOUND, "concurrency": "4"}}, "poolwise.E002", "from 1 to 10000"),
        ({"a": {**SOUND, "concurrency": True}}, "poolwise.E002", "from 1 to 10000"),
        ({"a": {"model": "threads"}}, "poolwise.E002", "concurrency"),
        ({"a b": SOUND}, "poolwise.E002", "letters, digits and underscores"),
        ({"coordinator": SOUND}, "poolwise.E002", "choose another"),
        ({"a": {**SOUND, "queue": ""}}, "poolwise.E002", "1 to 100 letters"),
        ({"a": {**SOUND, "queue": "q,r"}}, "poolwise.E002", "1 to 100 letters"),
        ({"a": {**SOUND, "queue": "x" * 101}}, "poolwise.E002", "1 to 100 letters"),
        ({"a": {**SOUND, "queue": None}}, "poolwise.E002", "1 to 100 letters"),
        ({"a": None}, "poolwise.E002", ""),
        ({"a": 3}, "poolwise.E002", ""),
        ({1: SOUND}, "poolwise.E002", ""),
        ({"a": SOUND, "b": SOUND}, "poolwise.E003", "share the queue 'q'"),
    ],
    ids=str,
)
def test_a_pool_that_cannot_work_is_an_error_with_its_remedy(
    settings: Any, declared: Any, found: str, text: str
) -> None:
    settings.JOB_POOLS = declared
    [message] = check_pools()
    assert isinstance(message, Error)
    assert (message.id, text in message.msg) == (found, True), message.msg
    assert message.hint


def test_every_wrong_pool_is_named_at_once(settings: Any) -> None:
    settings.JOB_POOLS = {
        "a": {**SOUND, "model": "x"},
        "b": {**SOUND, "concurrency": 0},
        "c": SOUND,
        "d": SOUND,
    }
    assert [message.id for message in check_pools()] == ["poolwise.E002", "poolwise.E002", "poolwise.E003"]


@pytest.mark.parametrize(("model", "library"), [("gevent", "gevent"), ("asyncio", "greenlet")])
def test_a_model_whose_library_is_missing_is_an_error_that_says_what_to_install(
    settings: Any, monkeypatch: pytest.MonkeyPatch, model: str, library: str
) -> None:
    settings.JOB_POOLS = {"a": {**SOUND, "model": model}}
    assert check_pools() == []
    monkeypatch.setattr(pools.spec.importlib.util, "find_spec", lambda name: None)
    [message] = check_pools()
    assert (message.id, library in message.msg) == ("poolwise.E004", True)
    assert f"pip install {library}" in message.hint


def test_a_default_pool_that_is_not_declared_is_a_warning(settings: Any) -> None:
    settings.JOB_POOLS = {"threads": SOUND}
    settings.JOB_DEFAULT_POOLS = {"io": "gevent", "cpu": "threads"}
    [message] = check_default_pools()
    assert isinstance(message, Warning)
    assert ("io jobs to 'gevent'" in message.msg, message.id) == (True, "poolwise.W001")
    assert message.hint


def test_a_definition_that_names_a_pool_which_is_not_declared_is_a_warning(
    settings: Any, define: Any
) -> None:
    define(nothing, name="t.nothing", pool="sold")
    [message] = [m for m in check_definition_pools() if "t.nothing" in m.msg]
    assert ("'sold'" in message.msg, message.id) == (True, "poolwise.W002")
    assert message.hint


def test_the_project_as_it_is_passes_and_the_checks_are_registered(db: None, settings: Any) -> None:
    assert [message for message in run_checks() if (message.id or "").startswith("jobs.")] == []
    settings.JOB_POOLS = {}
    assert "poolwise.E001" in {message.id for message in run_checks()}


@pytest.mark.parametrize(
    "name", ["JOB_MAX_QUEUED_PER_USER", "JOB_KEEP_DAYS", "JOB_KEEP_MAX", "AUDIT_KEEP_DAYS"]
)
@pytest.mark.parametrize("value", [0, -1, float("nan")])
def test_a_limit_that_would_delete_or_refuse_everything_is_an_error(
    settings: Any, name: str, value: float
) -> None:
    setattr(settings, name, value)
    [error] = check_numbers()
    assert error.id == "poolwise.E005"
    assert name in error.msg


@pytest.mark.parametrize("name", ["JOB_TIME_LIMIT_S", "SHUTDOWN_GRACE_S", "DRAIN_GRACE_S"])
@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf")])
def test_a_time_that_cannot_be_one_is_an_error(settings: Any, name: str, value: float) -> None:
    assert check_numbers() == []
    setattr(settings, name, value)
    [message] = check_numbers()
    assert (message.id, name in message.msg) == ("poolwise.E005", True)
    assert "from 0 to" in message.msg


@pytest.mark.parametrize(
    ("redis_url", "broker_url", "found", "text"),
    [
        ("http://cache:6379", "http://cache:6379", "poolwise.E009", "REDIS_URL begins with 'http'"),
        ("sentinel://a:26379", "redis://a:6379/0", "poolwise.E009", "REDIS_URL begins with 'sentinel'"),
        ("cache:6379", "redis://a:6379/0", "poolwise.E009", "REDIS_URL begins with 'cache:6379'"),
        ("redis://a:6379/0", "rabbit://a", "poolwise.E010", "BROKER_URL begins with 'rabbit'"),
        (
            "redis://a:6379/0",
            "no.such:Transport://a",
            "poolwise.E010",
            "BROKER_URL begins with 'no.such:Transport'",
        ),
        (
            "redis://a:6379/0",
            "kombu.transport:Nothing://a",
            "poolwise.E010",
            "for which Celery has no transport",
        ),
        ("redis://a:6379/0", "", "poolwise.E010", "unset it to use REDIS_URL"),
        ("redis://a:6379/0", "user:pass@a", "poolwise.E010", "BROKER_URL begins with '…'"),
        ("redis://a:port/0", "redis://a:port/0", "poolwise.E011", "REDIS_URL has a port"),
        (
            "redis://a:6379/0",
            "amqp://u:p/w@a:5672//",
            "poolwise.E011",
            "with / and # in the password",
        ),
        ("redis://a:6379/0", "amqp://a:5672;amqp://b:x", "poolwise.E011", "BROKER_URL has a port"),
        (
            "redis://:12/ab@a:6379/0",
            "redis://a/0",
            "poolwise.E011",
            "REDIS_URL has a /, ? or # in its password",
        ),
        (
            "redis://u:12#x@a:6379/0",
            "redis://a/0",
            "poolwise.E011",
            "REDIS_URL has a /, ? or # in its password",
        ),
        ("redis://:12?x@a:6379/0", "redis://a/0", "poolwise.E011", "percent-encoded"),
        (
            "rediss://a/0?ssl_cert_reqs=no",
            "redis://a/0",
            "poolwise.E011",
            "ssl_cert_reqs=no, which is none of",
        ),
        ("redis://a:6379/0", "sentinel://a:26379", "poolwise.E013", "CELERY_BROKER_TRANSPORT_OPTIONS"),
    ],
)
def test_an_address_that_nothing_connects_to_is_an_error_with_its_remedy(
    settings: Any, redis_url: str, broker_url: str, found: str, text: str
) -> None:
    settings.REDIS_URL, settings.BROKER_URL = redis_url, broker_url
    [message] = check_addresses()
    assert isinstance(message, Error)
    assert message.id == found
    assert text in f"{message.msg} {message.hint}"


@pytest.mark.parametrize(
    "redis_url",
    [
        *(
            "redis://a:6379/0",
            "rediss://a:6379/0",
            "unix:///run/redis.sock?db=1",
            "redis://:p%23%2F@[::1]:6379/0",
        ),
        *("redis://:p@ss@a:6379/0", "redis://a/0?client_name=me@home", "unix:///run/a@b.sock"),
    ],
)
@pytest.mark.parametrize(
    "broker_url",
    ["redis://a/0", "redis+socket:///run/redis.sock", "amqp://a", "amqps://a", "amqp://a:1;amqp://b:2"],
)
def test_addresses_of_redis_and_rabbitmq_pass(settings: Any, redis_url: str, broker_url: str) -> None:
    settings.REDIS_URL, settings.BROKER_URL = redis_url, broker_url
    assert check_addresses() == []
