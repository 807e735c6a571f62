"""What limits do on each pool, as pages and commands show it, and what a submission is warned of."""

from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from poolwise.lifecycle import limit_support
from tests.helpers.posted import text_of

MIB = 1024 * 1024


def limited(x: int = 1) -> int:
    return x


async def limited_async(x: int = 1) -> int:
    return x


def test_a_limit_that_is_not_enforced_is_warned_of(define: Callable[..., Any]) -> None:
    definition = define(
        limited, name="t.l", kind="io", time_limit_s=5, soft_time_limit_s=2, memory_limit_bytes=MIB
    )
    assert limit_support.warnings(definition, "prefork") == []
    soft, hard, memory = limit_support.warnings(definition, "threads")
    assert soft.startswith(
        "The soft time limit of t.l on threads: it reaches the job only when the job yields"
    )
    assert "ended with its worker, whose other jobs then run again" in hard
    assert "prefork" in memory


def test_the_limit_that_the_site_gives_every_definition_is_nothing_to_warn_of(
    define: Callable[..., Any], settings: Any
) -> None:
    definition = define(limited, name="t.l", kind="io")
    assert definition.time_limit_s == settings.JOB_TIME_LIMIT_S
    assert limit_support.warnings(definition, "threads") == []


def test_what_counts_is_what_the_kind_does_and_how_the_body_is_called(define: Callable[..., Any]) -> None:
    computes = define(limited, name="t.c", kind="cpu", time_limit_s=5)
    awaits = define(limited_async, name="t.a", kind="io", time_limit_s=5)
    assert limit_support.warnings(computes, "threads") == []
    assert limit_support.warnings(awaits, "threads") == []


def test_the_command_prints_the_table() -> None:
    out = StringIO()
    call_command("pool_status", "prefork", "threads", "--capabilities", stdout=out)
    lines = out.getvalue().splitlines()
    assert lines[0].split() == ["prefork", "threads"]
    assert lines[-1].split() == ["Memory", "limit", "enforced", "not", "supported"]
    waits = next(line for line in lines if line.startswith("Time limit, while it waits"))
    assert waits.endswith("restarts the worker (coroutine: enforced)")
    with pytest.raises(CommandError, match="no pool 'thread'"):
        call_command("pool_status", "thread", "--capabilities")


@pytest.mark.django_db
def test_the_pages_show_the_table_and_warn_at_submission(
    client: Client, administrator: Any, define: Callable[..., Any]
) -> None:
    client.force_login(administrator)
    assert "restarts the worker (coroutine: enforced)" in text_of(client.get("/pools/"))
    assert "restarts the worker" in text_of(client.get("/admin/poolwise/pool/threads/change/"))
    define(limited, name="t.l", kind="io", time_limit_s=5)
    text = "The time limit of t.l on threads"
    address = "/definitions/t.l/"
    assert text in text_of(client.get(address))
    response = client.post(address, {"param-x": "1", "pools": ["threads"], "copies": "1"}, follow=True)
    assert text in text_of(response)
