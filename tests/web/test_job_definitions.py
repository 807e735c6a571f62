"""The catalogue and the pools' state."""

import pytest
import redis
from django.db import connection
from django.test import Client

from poolwise.lifecycle import heartbeats
from poolwise.lifecycle.heartbeats import Heartbeat
from poolwise.models import Job
from tests.helpers.posted import HTMX, form, text_of

pytestmark = pytest.mark.django_db


def test_the_catalogue_groups_every_definition_by_kind(bob: Client) -> None:
    page = text_of(bob.get("/"))
    heads = [page.index(f'id="kind-{kind}"') for kind in ("io", "cpu", "mixed", "ending")]
    assert heads == sorted(heads)
    assert page.index("endings.succeed") > heads[-1]
    assert "native async" in page


@pytest.mark.parametrize(
    ("query", "listed", "absent"),
    [("prime", "cpu.primes", "io.wait"), ("IO timed", "io.wait", "io.http_get")],
)
def test_the_search_lists_matching_definitions(bob: Client, query: str, listed: str, absent: str) -> None:
    for headers in ({}, HTMX):
        page = text_of(bob.get("/", {"q": query}, headers=headers))
        assert listed in page
        assert absent not in page


def test_a_search_without_a_hit_says_so(bob: Client) -> None:
    assert "No definition matches" in text_of(bob.get("/", {"q": "<b>"}))


@pytest.mark.skipif(connection.vendor != "sqlite", reason="it can run on PostgreSQL")
def test_a_definition_that_cannot_run_here_says_why(bob: Client, sent: list[Job]) -> None:
    assert "It needs PostgreSQL" in text_of(bob.get("/"))
    response = bob.post("/definitions/io.sql_wait/", form())
    assert response.status_code == 200
    assert "cannot run here" in text_of(response)
    assert not sent


def test_the_pools_show_their_slots_and_which_has_no_worker(bob: Client, redis_client: redis.Redis) -> None:
    heartbeats.send(redis_client, Heartbeat("gevent@x", "gevent", 1, "x", slots=200, in_use=7))
    page = " ".join(text_of(bob.get("/pools/", headers=HTMX)).split())
    assert "<strong>7</strong> of 200 slots in use" in page
    assert page.count("No worker serves this pool") == 3


def test_workers_that_lost_their_broker_are_shown_at_their_pool(bob: Client, own_keys: redis.Redis) -> None:
    heartbeats.send(own_keys, Heartbeat("a", "threads", 1, "here", slots=1, is_connected=False))
    heartbeats.send(own_keys, Heartbeat("b", "threads", 2, "here", slots=1))
    page = text_of(bob.get("/pools/"))
    assert page.count("1 of its 2 workers lost the broker and receives no jobs until it is back") == 1


def test_a_redis_that_is_away_is_named_in_plain_words(bob: Client, no_redis: None) -> None:
    page = text_of(bob.get("/"))
    assert "Redis does not answer" in page
    assert "No worker serves" not in page


def test_refused_messages_are_shown_at_their_pool(bob: Client, own_keys: redis.Redis) -> None:
    heartbeats.send(own_keys, Heartbeat("a", "threads", 1, "here", slots=1, refused=2))
    heartbeats.send(own_keys, Heartbeat("b", "threads", 2, "here", slots=1, refused=1))
    page = text_of(bob.get("/pools/"))
    assert page.count("forged or malformed messages refused") == 1
    assert "3 forged or malformed messages" in page
