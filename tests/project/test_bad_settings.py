"""The settings: what the environment gets wrong is refused at start, what a check finds is named with its remedy."""

import runpy
from typing import Any

import pytest
from django.core.checks import Error
from django.core.exceptions import ImproperlyConfigured

from jobs.settings_checks import check_http
from poolwise.checks import check_pools
from poolwise.support.settings_checks import check_addresses, check_heartbeats, check_numbers
from tests import ROOT
from tests.project.test_compose import TABLES, names_in

DOCUMENTED = names_in(TABLES)
CHECKS = (check_pools, check_numbers, check_heartbeats, check_http, check_addresses)
#: What can be read and works in no way.
MUST_BE_REPORTED = {
    *(("WORKER_PREFETCH_MULTIPLIER", "-1"), ("LOGIN_COOL_OFF_MIN", "-1"), ("LOGIN_COOL_OFF_MIN", "1e99")),
    *(("PREFORK_CONCURRENCY", "-1"), ("JOB_POOLS", "-1"), ("JOB_KEEP_DAYS", "1e99"), ("REDIS_URL", "x")),
    *(("JOB_HTTP_DEMO_URL", ""), ("BROKER_URL", "nan")),
}
SOUND = {"model": "threads", "queue": "q", "concurrency": 2}
POOLS: list[tuple[Any, str]] = [
    ({}, "declares no pool"), ([], "declares no pool"), ("threads", "declares no pool"), (7, "declares no pool"),
    ({"a": {**SOUND, "model": "fibers"}}, "'fibers'"), ({"a": {**SOUND, "model": None}}, "model None"),
    ({"a": {**SOUND, "model": []}}, "model []"), ({"a": {**SOUND, "model": "Threads"}}, "'Threads'"),
    ({"a": {**SOUND, "modle": 1}}, "['modle']"), ({"a": {**SOUND, "slots": 1, "size": 2}}, "['size', 'slots']"),
    ({"a": {**SOUND, "concurrency": 0}}, "from 1 to 10000"), ({"a": {**SOUND, "concurrency": -1}}, "from 1 to 10000"),
    ({"a": {**SOUND, "concurrency": 10_001}}, "from 1 to 10000"), ({"a": {**SOUND, "concurrency": "4"}}, "from 1 to"),
    ({"a": {**SOUND, "concurrency": 2.5}}, "from 1 to"), ({"a": {**SOUND, "concurrency": True}}, "from 1 to"),
    ({"a": {**SOUND, "concurrency": None}}, "from 1 to"), ({"a": {"model": "threads"}}, "concurrency"),
    ({"a b": SOUND}, "'a b'"), ({"": SOUND}, "''"), ({"a-b": SOUND}, "'a-b'"), ({"1a": SOUND}, "'1a'"),
    ({"a,b": SOUND}, "'a,b'"), ({"coordinator": SOUND}, "belongs to the coordinator"), ({"auto": SOUND}, "belongs to"),
    ({"a": {**SOUND, "queue": ""}}, "1 to 100 letters"), ({"a": {**SOUND, "queue": "q,r"}}, "1 to 100 letters"),
    ({"a": {**SOUND, "queue": "x" * 101}}, "1 to 100 letters"), ({"a": {**SOUND, "queue": 7}}, "1 to 100 letters"),
    ({"a": {**SOUND, "queue": "q r"}}, "1 to 100 letters"), ({"a": {**SOUND, "queue": "q\n"}}, "1 to 100 letters"),
    ({"a": SOUND, "b": SOUND}, "share the queue 'q'"),
]  # fmt: skip
NUMBERS: list[tuple[str, Any]] = [
    ("JOB_MAX_COPIES", 0), ("JOB_MAX_COPIES", -5), ("JOB_MAX_COPIES", 10**9), ("JOB_MAX_QUEUED", 0),
    ("JOB_RESULT_MAX_BYTES", 0), ("JOB_RESULT_MAX_BYTES", 10**12), ("JOB_LOG_MAX_LINES", -1),
    ("JOB_PUBLISH_BUDGET_S", 0), ("JOB_PUBLISH_BUDGET_S", float("nan")), ("JOB_PUBLISH_BUDGET_S", float("inf")),
    ("JOB_HEARTBEAT_S", 0), ("JOB_HEARTBEAT_S", -1.0), ("JOB_WORKER_DEAD_AFTER_S", 0), ("JOB_SAMPLE_EVERY_S", 0),
    ("JOB_SAMPLE_KEEP_DAYS", 0), ("SHUTDOWN_GRACE_S", -1), ("LOGIN_FAILURE_LIMIT", 0), ("PROXY_COUNT", -1),
    ("PROXY_COUNT", 11), ("JOB_MAX_COPIES", "many"), ("JOB_MAX_COPIES", True), ("JOB_MAX_COPIES", None),
    ("WORKER_PREFETCH_MULTIPLIER", -1), ("WORKER_PREFETCH_MULTIPLIER", 0), ("LOGIN_COOL_OFF_MIN", 0.0),
    ("LOGIN_COOL_OFF_MIN", -1.0), ("LOGIN_COOL_OFF_MIN", 1e15), ("API_MAX_BODY_BYTES", 60_000_000),
]  # fmt: skip
HOSTS = [
    "*",
    "http://a:80",
    "a:0",
    "a:65536",
    "a:port",
    "a/b",
    "a b",
    "",
    "user@a:80",
    "[::1",
    "::1",
    7,
    "a:80:80",
]
DEMO = ["", "127.0.0.1:8099", "ftp://a", "http://", "http://a/path", "http://user:pw@a", "http://a b"]
ENVIRONMENT: list[tuple[dict[str, str], str]] = [
    ({name: value}, name)
    for name, value in (
        ("DEBUG", "perhaps"), ("HTTPS", "2"), ("TASK_EVENTS", "maybe"), ("JOB_HTTP_PUBLIC", "some"),
        ("JOB_MAX_COPIES", "many"), ("JOB_MAX_COPIES", "1.5"), ("JOB_MAX_QUEUED", ""), ("JOB_RESULT_MAX_BYTES", "1MB"),
        ("JOB_LOG_MAX_LINES", "x"), ("JOB_HEARTBEAT_S", "soon"), ("JOB_WORKER_DEAD_AFTER_S", "1,5"),
        ("JOB_PUBLISH_BUDGET_S", "half"), ("JOB_SAMPLE_EVERY_S", "x"), ("JOB_SAMPLE_KEEP_DAYS", "week"),
        ("THREADS_CONCURRENCY", "x"), ("PREFORK_CONCURRENCY", "all"), ("GEVENT_CONCURRENCY", "1e3"),
        ("ASYNCIO_CONCURRENCY", "0x10"), ("WORKER_PREFETCH_MULTIPLIER", "x"), ("SHUTDOWN_GRACE_S", "a minute"),
        ("LOGIN_FAILURE_LIMIT", "few"), ("LOGIN_COOL_OFF_MIN", "long"), ("PROXY_COUNT", "one"), ("JOB_POOLS", "{"),
        ("JOB_POOLS", "threads"), ("LOG_FORMAT", "xml"),
    )
] + [
    ({"DEBUG": "false", "SECRET_KEY": ""}, "Set SECRET_KEY"),
    ({"DEBUG": "false", "SECRET_KEY": "insecure-development-key"}, "Set SECRET_KEY"),
    ({"SECRET_KEY_FILE": "/nowhere/key"}, "SECRET_KEY_FILE cannot be read"),
    ({"REDIS_URL_FILE": "/nowhere"}, "REDIS_URL_FILE cannot be read"),
    ({"DATABASE_URL": "oracle-or-so://x/y"}, "oracle-or-so"), ({"DATABASE_URL": ""}, "DATABASE_URL"),
    ({"DATABASE_URL": "postgres://u:canary/2@h/n"}, "DATABASE_URL (postgres://…) is not a database URL"),
    ({"DATABASE_URL": "u:canary@h/n"}, "DATABASE_URL (…://…) is not a database URL"),
    ({"LOG_LEVEL": ""}, "LOG_LEVEL must be one of DEBUG, INFO"), ({"LOG_LEVEL": "loud"}, "not 'LOUD'"),
]  # fmt: skip


@pytest.mark.parametrize(("declared", "text"), POOLS, ids=repr)
def test_pools_that_cannot_work(settings: Any, declared: Any, text: str) -> None:
    settings.JOB_POOLS = declared
    [message] = check_pools()
    assert isinstance(message, Error)
    assert text in message.msg
    assert message.hint


@pytest.mark.parametrize(("name", "value"), NUMBERS, ids=repr)
def test_numbers_out_of_their_limits(settings: Any, name: str, value: Any) -> None:
    assert check_numbers() == []
    setattr(settings, name, value)
    [message] = check_numbers()
    assert message.msg.startswith(f"{name} is {value!r}; it must be a number from ")
    assert message.hint


@pytest.mark.parametrize(("every_s", "dead_after_s"), [(2.0, 2.0), (10.0, 10.0), (5.0, 9.9)])
def test_a_worker_that_would_be_dead_between_two_heartbeats(
    settings: Any, every_s: float, dead_after_s: float
) -> None:
    assert check_heartbeats() == []
    settings.JOB_HEARTBEAT_S, settings.JOB_WORKER_DEAD_AFTER_S = every_s, dead_after_s
    [message] = check_heartbeats()
    assert "at least twice JOB_HEARTBEAT_S" in (message.hint or "")


@pytest.mark.parametrize("entry", HOSTS, ids=repr)
def test_a_host_that_is_none(settings: Any, entry: Any) -> None:
    assert check_http() == []
    settings.JOB_HTTP_ALLOWED_HOSTS = [entry]
    [message] = check_http()
    assert repr(entry) in message.msg
    assert "host:port" in message.msg


@pytest.mark.parametrize("url", DEMO)
def test_a_demo_server_that_is_none(settings: Any, url: str) -> None:
    settings.JOB_HTTP_DEMO_URL = url
    [message] = check_http()
    assert message.msg.startswith("JOB_HTTP_DEMO_URL")
    assert message.hint


@pytest.mark.parametrize(("environment", "text"), ENVIRONMENT, ids=repr)
def test_an_environment_that_cannot_be_read_stops_the_start_and_names_the_setting(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], text: str
) -> None:
    for name in ("SECRET_KEY", "REDIS_URL", "DATABASE_URL"):
        if f"{name}_FILE" in environment:
            monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises((ImproperlyConfigured, ValueError)) as caught:
        runpy.run_path(str(ROOT / "project/settings.py"))
    assert text in str(caught.value)
    assert "canary" not in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize("value", ["", "x", "-1", "1e99", "nan"])
@pytest.mark.parametrize("name", sorted(DOCUMENTED))
def test_what_makes_no_sense_is_named_or_harmless(
    monkeypatch: pytest.MonkeyPatch, settings: Any, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    errors: list[str] = []
    try:
        loaded = runpy.run_path(str(ROOT / "project/settings.py"))
    except (ImproperlyConfigured, ValueError) as error:
        errors.append(str(error))
    else:
        for documented in loaded.keys() & DOCUMENTED:
            setattr(settings, documented, loaded[documented])
        errors += [fault.msg for check in CHECKS for fault in check() if isinstance(fault, Error)]
    assert all(name in text for text in errors), errors
    assert errors or (name, value) not in MUST_BE_REPORTED


def test_the_wait_after_wrong_passwords_cannot_be_turned_off(monkeypatch: pytest.MonkeyPatch) -> None:
    for value, least_s in (("0", 6), ("-5", 6), ("10", 600), ("1e15", 86_400 * 365)):
        monkeypatch.setenv("LOGIN_COOL_OFF_MIN", value)
        assert (
            runpy.run_path(str(ROOT / "project/settings.py"))["AXES_COOLOFF_TIME"].total_seconds() == least_s
        )


@pytest.mark.parametrize("level", ["info", "Warning", "DEBUG"])
def test_the_level_of_logs_is_taken_in_any_case(monkeypatch: pytest.MonkeyPatch, level: str) -> None:
    monkeypatch.setenv("LOG_LEVEL", level)
    loaded = runpy.run_path(str(ROOT / "project/settings.py"))
    assert loaded["LOGGING"]["root"]["level"] == level.upper()


def test_an_empty_earlier_key_signs_nothing_and_an_empty_folder_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in {"SECRET_KEY_FALLBACKS": "old,,", "STATIC_ROOT": "", "JOB_FILES_DIR": ""}.items():
        monkeypatch.setenv(name, value)
    loaded = runpy.run_path(str(ROOT / "project/settings.py"))
    assert loaded["SECRET_KEY_FALLBACKS"] == ["old"]
    assert (loaded["STATIC_ROOT"].name, loaded["JOB_FILES_DIR"][-9:]) == ("staticfiles", "var/files")


def test_no_call_of_the_api_may_be_larger_than_any_request(settings: Any) -> None:
    settings.API_MAX_BODY_BYTES = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    assert check_numbers() == []
    settings.API_MAX_BODY_BYTES += 1
    assert [fault.id for fault in check_numbers()] == ["poolwise.E005"]
