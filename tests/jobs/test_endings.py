"""Jobs that show each way to end."""

import asyncio
import json
import logging
import os
import subprocess
import sys
import time
from typing import Any

import pytest

from jobs.endings import FlakyError, UnprintableError
from poolwise import definitions
from poolwise.definitions import AttemptContext
from poolwise.lifecycle.submission import prepare
from poolwise.support.errors import Unavailable
from tests.helpers.pace import limit_s
from tests.jobs.conftest import Bodies


def test_succeed_returns_its_value(run: Bodies) -> None:
    assert run("endings.succeed", value="yes") == ["yes", "yes"]


def test_raise_error_raises_with_its_message(run: Bodies) -> None:
    with pytest.raises(RuntimeError, match=r"^boom$"):
        run("endings.raise_error", message="boom")
    with pytest.raises(RuntimeError, match=r"^boom$"):
        asyncio.run(definitions.get("endings.raise_error").async_body(message="boom"))


def test_slow_takes_its_time(run: Bodies) -> None:
    begin = time.monotonic()
    assert run("endings.slow", duration_s=0.12) == [0.12, 0.12]
    assert 0.24 <= time.monotonic() - begin < limit_s(3)


@pytest.mark.parametrize(
    ("attempt", "succeed_on", "succeeds"), [(1, 1, True), (1, 2, False), (2, 2, True), (3, 2, True)]
)
def test_flaky_fails_until_the_given_attempt(attempt: int, succeed_on: int, succeeds: bool) -> None:
    definition = definitions.get("endings.flaky")
    context = AttemptContext("id", attempt, definition.name, "threads")
    arguments = definition.call_arguments({"succeed_on": succeed_on})
    calls = (
        lambda: definition.body(context, **arguments),
        lambda: asyncio.run(definition.async_body(context, **arguments)),
    )
    for call in calls:
        if succeeds:
            assert call() == {"attempt": attempt}
        else:
            with pytest.raises(FlakyError, match=f"number {succeed_on} succeeds"):
                call()


def test_flaky_is_retried() -> None:
    definition = definitions.get("endings.flaky")
    assert (definition.retry_on, definition.max_attempts) == ((FlakyError,), 10)


def test_a_large_result_has_its_size(run: Bodies) -> None:
    assert [len(result) for result in run("endings.large_result", size_bytes=1000)] == [1000]


def test_an_unserialisable_result_is_no_json(run: Bodies) -> None:
    with pytest.raises(TypeError):
        json.dumps(run("endings.unserialisable"))


@pytest.mark.slow
def test_exit_process_ends_the_process_at_once() -> None:
    source = "from jobs import endings; endings.exit_process.func(3)"
    setup = f"import django; django.setup(); {source}"
    assert subprocess.run([sys.executable, "-c", setup], timeout=60).returncode == 3
    assert definitions.get("endings.exit_process").kind == "hazard"


def test_a_job_that_ends_its_worker_is_refused_unless_allowed(settings: Any) -> None:
    settings.JOB_ALLOW_HARMFUL = False
    with pytest.raises(
        Unavailable, match="ends its worker on purpose; set JOB_ALLOW_HARMFUL=true to allow it"
    ):
        prepare("endings.exit_process", {}, pool="threads", copies=1)
    settings.JOB_ALLOW_HARMFUL = True
    assert len(prepare("endings.exit_process", {}, pool="threads", copies=1)) == 1


@pytest.mark.slow
@pytest.mark.parametrize(("environment", "allowed"), [
    ({"DEBUG": "true"}, True), ({"DEBUG": "false"}, False), ({"DEBUG": "false", "JOB_ALLOW_HARMFUL": "true"}, True),
])  # fmt: skip
def test_a_job_that_ends_its_worker_is_allowed_by_default_with_debug(
    environment: dict[str, str], allowed: bool
) -> None:
    show = "from project import settings; print(settings.JOB_ALLOW_HARMFUL)"
    rest = {name: value for name, value in os.environ.items() if name not in ("DEBUG", "JOB_ALLOW_HARMFUL")}
    run = subprocess.run(
        [sys.executable, "-c", show], env={**rest, "SECRET_KEY": "x" * 50, **environment},
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert run.stdout.split() == [str(allowed)]


def test_a_bad_exception_has_neither_text_nor_repr(run: Bodies) -> None:
    with pytest.raises(UnprintableError) as caught:
        run("endings.bad_exception")
    for show in (str, repr):
        with pytest.raises(RuntimeError, match="no text"):
            show(caught.value)


def test_log_lines_are_logged_in_both_ways(run: Bodies, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "jobs.endings"):
        assert run("endings.log_lines", count=3) == [{"lines": 3}, {"lines": 3}]
    assert len(caplog.records) == 6
    assert caplog.records[0].getMessage() == "Line 1 of 3"
    assert "structured line" in str(caplog.records[1].msg)
