"""Helpers for Redis, the broker's messages, the coordinator and charts; the fixtures are in `tests/conftest.py`."""

import base64
import json
import threading
from collections.abc import Callable
from functools import cache
from typing import Any
from urllib.parse import quote

import pytest
import redis

from poolwise.coordinator import duties as platform
from poolwise.coordinator import loop as coordinating
from poolwise.coordinator.loop import Coordinator, own_reader
from poolwise.lab.duties import lab_duties
from poolwise.lifecycle import broker, broker_queues, publishing, stream
from poolwise.lifecycle.heartbeats import AttemptId
from poolwise.lifecycle.stream import Entry
from poolwise.support import redis as redis_client
from tests.helpers.pace import limit_s


def after(seconds: float, call: Callable[[], object]) -> threading.Timer:
    """Make the call in another thread after a delay."""
    timer = threading.Timer(seconds, call)
    timer.start()
    return timer


def forget_connections() -> None:
    """Drop the cached clients, so that the next call reads the settings again."""
    for cached in (redis_client.worker_client, redis_client.web_client):
        if cached.cache_info().currsize:
            cached().connection_pool.disconnect()
        cached.cache_clear()
    broker.connection.cache_clear()


def point_at(url: str, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make this process use another Redis, for the platform's data and as the broker."""
    settings.REDIS_URL = settings.BROKER_URL = url
    monkeypatch.setenv("CELERY_BROKER_URL", url)
    monkeypatch.setattr(publishing, "_breaker", publishing._Breaker())
    forget_connections()


def messages(client: redis.Redis, queue: str) -> list[dict[str, Any]]:
    """Return the messages in a queue, oldest first; each with its decoded `args`."""
    queued = [json.loads(text) for text in reversed(client.lrange(queue, 0, -1))]
    for message in queued:
        definition, params = json.loads(base64.b64decode(message["body"]))[0]
        message["args"] = [definition, json.loads(params)]
    return queued


def claim(
    client: Any, entry: stream.Started, token: str, *, pool: str = "", definition: str = ""
) -> stream.Claim:
    """Claim one attempt, and report it as started."""
    return stream.exchange(client, [stream.ClaimRequest(entry, token, pool, definition)], [])[0]


def waiting(pool: str) -> set[AttemptId] | None:
    """Return the attempts whose messages wait at the broker; None if the broker cannot list them."""
    reading = broker_queues.Reading(pool)
    while not reading.read(1000):
        pass
    return reading.found if reading.is_listed else None


def reports(client: redis.Redis) -> list[Entry]:
    """Return the entries of the stream."""
    entries = client.xrange(stream.stream_key())
    return [entry for _, fields in entries for entry in stream.decode_all(fields["e"])]


def coordinator_of(client: Any = None) -> Coordinator:
    """Return a coordinator with all duties, like that of the command."""
    reader = own_reader(client)
    return Coordinator(
        reader, [*platform.recording_duties(reader), *platform.platform_duties(reader), *lab_duties()]
    )


def keep_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prevent a coordinator in this thread from closing the test's connection, which is in a transaction."""
    for module in (coordinating, platform):
        monkeypatch.setattr(module, "close_old_connections", lambda: None)


def coordinate(
    condition: Callable[[], object], monkeypatch: pytest.MonkeyPatch, *, within_s: float = 15.0
) -> None:
    """Run a coordinator in this thread, hence in this test's transaction, until the condition holds."""
    keep_connections(monkeypatch)
    coordinator, call = coordinator_of(), coordinating._do_what_is_due

    def do_and_check(duties: Any, recorded: int) -> None:
        call(duties, recorded)
        if condition():
            coordinator.stop()

    monkeypatch.setattr(coordinating, "_do_what_is_due", do_and_check)
    timer = after(limit_s(within_s), coordinator.stop)
    coordinator.run()
    timer.cancel()
    monkeypatch.setattr(coordinating, "_do_what_is_due", call)
    assert condition(), f"not within {within_s} s"


def is_vega_lite(spec: dict[str, Any]) -> bool:
    """Return whether a chart fits Altair's schema of Vega-Lite; the charts are drawn without this check."""
    return bool(_vega_lite().is_valid(spec))


@cache
def _vega_lite() -> Any:
    """Return a validator that is a thousand times faster than Altair's, which tries one class after another."""
    import jsonschema_rs
    from altair.vegalite.v6.schema.core import load_schema

    def quoted(part: dict[str, Any]) -> dict[str, Any]:
        return {**part, "$ref": quote(part["$ref"], safe="#/")} if "$ref" in part else part

    return jsonschema_rs.validator_for(json.loads(json.dumps(load_schema()), object_hook=quoted))
