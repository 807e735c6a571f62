"""What a stranger can write into Redis beside the queues: it ends no process, and no page."""

import json
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
import redis
from celery import current_app
from django.conf import settings
from django.test import Client
from django.utils import timezone

from poolwise.lifecycle.broker import web_connection
from poolwise.lifecycle.heartbeats import pools_up
from poolwise.lifecycle.stream import mark_cancelled, pauses_key, stream_key
from poolwise.lifecycle.submission import submit
from poolwise.models import Job, JobState
from poolwise.support.redis import key
from tests.helpers.pace import eventually
from tests.helpers.platform import Platform

pytestmark = [pytest.mark.services, pytest.mark.django_db(transaction=True)]
POOLS = tuple(settings.JOB_POOLS)
PAGES = ("/", "/pools/", "/definitions/io.wait/", "/jobs/", "/api/pools", "/api/definitions")
RAW = b"\xff\xfe\x00"
#: In the fields of a message to all workers, and of the message itself.
NONSENSE: tuple[Any, ...] = (None, 7, "text", [], {}, 10**400, {"exchange": 7}, ["["])


@pytest.fixture
def stranger(platform: Platform) -> Iterator[redis.Redis]:
    """A client of Redis that knows no key of this installation; no key of a wrong type is left after the test."""
    client = redis.Redis.from_url(settings.REDIS_URL)
    yield client
    for name in client.scan_iter(_type="string"):
        if client.get(name) == RAW:  # nobody has used it, and replaced it, yet
            client.delete(name)
    client.close()


def _broadcasts() -> Iterator[bytes]:
    """Yield what a stranger can publish to the mailboxes of all workers."""
    properties: dict[str, Any] = {"delivery_tag": str(uuid4()), "delivery_info": {}, "body_encoding": None}
    command = {"method": "revoke", "arguments": {"task_id": "x"}, "destination": None, "pattern": None}
    message = {
        "content-type": "application/json", "content-encoding": "utf-8", "headers": {}, "properties": properties,
        "body": json.dumps(command),
    }  # fmt: skip
    yield from (RAW, b"", b"null", b"7", b"[]", b"{}", b"[" * 200_000, b'{"body": ')
    for value in NONSENSE:
        yield from (json.dumps({**message, name: value}).encode() for name in message)
        yield from (
            json.dumps({**message, "properties": {**properties, name: value}}).encode() for name in properties
        )
        yield from (
            json.dumps({**message, "body": json.dumps({**command, name: value})}).encode()
            for name in (*command, "reply_to", "ticket", "matcher", "more")
        )
        yield json.dumps({**message, "body": json.dumps(value)}).encode()
        yield json.dumps({**message, "headers": {"clock": value}}).encode()


def _write_bytes(client: redis.Redis) -> None:
    """Write bytes that are no UTF-8 into each structure that some process reads."""
    client.xadd(stream_key(), {b"e": RAW})
    client.xadd(stream_key(), {RAW: RAW})
    for name in (key("heartbeats"), key("heartbeats", "reserved"), pauses_key(), "unacked"):
        client.hset(name, RAW, RAW)
    client.zadd(key("heartbeats", "at"), {RAW: float("inf")})
    client.zadd("unacked_index", {RAW: 1.0, b"nobody's": 1.0, b"nested": 1.0})
    client.hset("unacked", mapping={"nobody's": RAW, "nested": b"[" * 100_000})
    client.hset("unacked_index_swept", mapping={"since": RAW, "last": "nan"})
    for pool in POOLS:
        client.lpush(settings.JOB_POOLS[pool]["queue"], RAW)
        client.sadd(f"_kombu.binding.{settings.JOB_POOLS[pool]['queue']}", RAW, b"\x06\x16\x06\x16\x06\x16")
    client.sadd("_kombu.binding.celery.pidbox", RAW)
    client.zadd("_kombu.binding_deadlines", {RAW: 0.0})
    client.hset(key("heartbeats"), pools_up()["threads"][0].name, RAW)


def _write_types(client: redis.Redis) -> None:
    """Put a key of another type in the place of each that some process reads."""
    names = [stream_key(), *(key("heartbeats", *rest) for rest in ((), ("at",), ("reserved",))), pauses_key()]
    names += [*("unacked", "unacked_index", "unacked_index_swept", "_kombu.binding_deadlines")]
    names += [settings.JOB_POOLS[pool]["queue"] for pool in POOLS]
    names += [name.decode() for name in client.keys("_kombu.binding.*")]  # type: ignore[union-attr]
    for name in names:
        client.set(name, RAW)


@pytest.mark.parametrize("write", ["broadcasts", "bytes", "types"])
def test_what_a_stranger_writes_ends_no_process_and_no_page(
    platform: Platform, stranger: redis.Redis, admin_client: Client, write: str
) -> None:
    before = {pool: workers[0].pid for pool, workers in pools_up().items()}
    coordinator = platform.processes["coordinator"].pid
    database = stranger.get_connection_kwargs()["db"]
    if write == "broadcasts":
        received = {stranger.publish(f"/{database}.celery.pidbox", body) for body in _broadcasts()}
        assert received == {len(POOLS)}
    else:
        {"bytes": _write_bytes, "types": _write_types}[write](stranger)
    assert {page: admin_client.get(page).status_code for page in PAGES} == dict.fromkeys(PAGES, 200)
    web_connection().close()  # as a web process that starts now
    jobs = [submit("endings.succeed", {}, pool=pool)[0] for pool in POOLS]
    platform.wait_for(*jobs)
    assert {job.state for job in jobs} == {JobState.SUCCEEDED}
    eventually(lambda: {pool: workers[0].pid for pool, workers in pools_up().items()} == before)
    assert platform.processes["coordinator"].poll() is None
    assert platform.processes["coordinator"].pid == coordinator
    assert {page: admin_client.get(page).status_code for page in PAGES} == dict.fromkeys(PAGES, 200)


def test_an_entry_with_the_last_of_all_ids_does_not_end_the_stream(
    platform: Platform, stranger: redis.Redis
) -> None:
    stranger.xadd(stream_key(), {"e": "x"}, id=f"{2**64 - 1}-{2**64 - 1}")
    [job] = submit("endings.succeed", {}, pool="threads")
    platform.wait_for(job)
    assert job.state == JobState.SUCCEEDED


def test_a_command_that_is_not_signed_stops_no_job_and_takes_no_slot(
    platform: Platform, stranger: redis.Redis
) -> None:
    slots = {pool: workers[0].slots for pool, workers in pools_up().items()}
    jobs = [submit("io.wait", {"duration_s": 1.0}, pool=pool)[0] for pool in POOLS]
    eventually(lambda: Job.objects.running().count() == len(POOLS))
    control: Any = current_app.control
    mailbox = control.mailbox(web_connection())
    for job in jobs:
        for seal in ({}, {"seal": {"only": None, "at": time.time(), "nonce": "", "signature": "A" * 43}}):
            arguments = {"task_id": str(job.pk), "terminate": True, "signal": "SIGKILL", **seal}
            mailbox._broadcast("revoke", arguments)
    mailbox._broadcast("pool_shrink", {"n": 1})
    mailbox._broadcast("hello", {"from_node": "x", "revoked": {str(job.pk): 1.0 for job in jobs}})
    platform.wait_for(*jobs)
    assert {job.state for job in jobs} == {JobState.SUCCEEDED}
    assert {pool: workers[0].slots for pool, workers in pools_up().items()} == slots


def test_an_unsigned_mark_cancels_no_job_and_a_signed_one_does(
    platform: Platform, stranger: redis.Redis
) -> None:
    jobs = [
        submit("endings.succeed", {}, pool="threads", run_after=timezone.now() + timedelta(seconds=1))[0]
        for _ in "ab"
    ]
    stranger.set(key("cancelled", jobs[0].pk), 1)
    mark_cancelled(stranger, [str(jobs[1].pk)])
    platform.wait_for(*jobs)
    assert [job.state for job in jobs] == [JobState.SUCCEEDED, JobState.CANCELLED]
