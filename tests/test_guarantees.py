"""What pools can do, as pages and commands show it, and what a submission is warned of."""

from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
import redis
from django.core.management import call_command
from django.test import Client

from jobs import guarantees, heartbeats
from jobs.heartbeats import Beat
from tests.web.posted import text_of

MIB = 1024 * 1024
FOUND = {
    "prefork": {"hard function waits": "holds", "memory": "holds"},
    "threads": {
        "hard function waits": "by ending the worker",
        "hard function computes": "holds",
        "hard coroutine waits": "holds",
        "soft function waits": "when it yields",
        "soft function computes": "holds",
        "memory": "not here",
    },
}


def limited(x: int = 1) -> int:
    return x


async def limited_async(x: int = 1) -> int:
    return x


def test_a_limit_that_does_not_simply_hold_is_warned_of(define: Callable[..., Any]) -> None:
    found = define(
        limited, name="t.l", kind="io", time_limit_s=5, soft_time_limit_s=2, memory_limit_bytes=MIB
    )
    assert guarantees.warnings(found, "prefork", FOUND) == []
    soft, hard, memory = guarantees.warnings(found, "threads", FOUND)
    assert soft.startswith(
        "The soft time limit of t.l on threads: it reaches the job only when the job yields"
    )
    assert "ended with its worker, whose other jobs then run again" in hard
    assert "prefork" in memory
    assert guarantees.warnings(found, "gevent", FOUND) == []  # nobody has told


def test_the_limit_that_the_site_gives_every_definition_is_nothing_to_warn_of(
    define: Callable[..., Any], settings: Any
) -> None:
    found = define(limited, name="t.l", kind="io")
    assert found.time_limit_s == settings.JOB_TIME_LIMIT_S
    assert guarantees.warnings(found, "threads", FOUND) == []


def test_what_counts_is_what_the_kind_does_and_how_the_body_is_called(define: Callable[..., Any]) -> None:
    computes = define(limited, name="t.c", kind="cpu", time_limit_s=5)
    awaits = define(limited_async, name="t.a", kind="io", time_limit_s=5)
    assert guarantees.warnings(computes, "threads", FOUND) == []
    assert guarantees.warnings(awaits, "threads", FOUND) == []


def test_a_pool_is_as_good_as_the_worst_of_its_workers(own_keys: redis.Redis) -> None:
    for name, word in (("a", "holds"), ("b", "by ending the worker"), ("c", "holds")):
        heartbeats.send(own_keys, Beat(name, "threads", 1, "h", guarantees={"hard function waits": word}))
    heartbeats.send(own_keys, Beat("d", "gevent", 1, "h"))
    assert guarantees.by_pool() == {"threads": {"hard function waits": "by ending the worker"}, "gevent": {}}


def test_the_command_prints_the_matrix(own_keys: redis.Redis) -> None:
    for pool, found in FOUND.items():
        heartbeats.send(own_keys, Beat(pool, pool, 1, "h", guarantees=found))
    out = StringIO()
    call_command("pool_status", "prefork", "threads", "--capabilities", stdout=out)
    lines = out.getvalue().splitlines()
    assert lines[0].split() == ["prefork", "threads"]
    assert lines[-1].split() == ["Memory", "limit", "holds", "not", "here"]
    waits = next(line for line in lines if line.startswith("Time limit, while it waits"))
    assert waits.endswith("by ending the worker (coroutine: holds)")


@pytest.mark.django_db
def test_the_pages_show_the_matrix_and_warn_at_submission(
    client: Client, administrator: Any, own_keys: redis.Redis, define: Callable[..., Any], settings: Any
) -> None:
    settings.JOB_WORKER_DEAD_AFTER_S = 60  # one sign of life has to do for all these pages
    heartbeats.send(own_keys, Beat("t", "threads", 1, "h", guarantees=FOUND["threads"]))
    client.force_login(administrator)
    assert "by ending the worker (coroutine: holds)" in text_of(client.get("/pools/"))
    assert "by ending the worker" in text_of(client.get("/admin/jobs/pool/threads/change/"))
    define(limited, name="t.l", kind="io", time_limit_s=5)
    text = "The time limit of t.l on threads"
    address = "/definitions/t.l/"
    assert text in text_of(client.get(address))
    response = client.post(address, {"param-x": "1", "pools": ["threads"], "copies": "1"}, follow=True)
    assert text in text_of(response)
