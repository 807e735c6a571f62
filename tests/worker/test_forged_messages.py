"""What a stranger with access to Redis can put there: refused, counted, logged, and no worker is the worse for it."""

import base64
import json
import pickle
import zlib
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import redis
from django.conf import settings

from poolwise.lifecycle.broker import ask_workers
from poolwise.lifecycle.heartbeats import pools_up
from poolwise.lifecycle.messages import HEADER, signed_options
from poolwise.lifecycle.stream import stream_key
from poolwise.lifecycle.submission import submit
from poolwise.models import Job, JobState
from poolwise.support import signing
from poolwise.support.timing import wall_now
from poolwise.worker.task import run
from tests.helpers.pace import eventually
from tests.helpers.platform import Platform

pytestmark = [pytest.mark.services, pytest.mark.django_db(transaction=True)]
POOLS = tuple(settings.JOB_POOLS)


class _Exploit:
    """Writes a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def _genuine(
    client: redis.Redis, pool: str, definition: str, job_id: str = "", attempt: int = 1
) -> dict[str, Any]:
    """Return a message as Poolwise publishes it, without leaving it in a queue."""
    options = signed_options(job_id or str(uuid4()), attempt, definition, {}, published_at=wall_now())
    run.apply_async(queue="captured", **options)
    captured: dict[str, Any] = json.loads(client.rpop("captured"))  # type: ignore[arg-type]
    captured["properties"]["delivery_info"]["routing_key"] = pool
    return captured


def _body(value: Any) -> str:
    return base64.b64encode(value if isinstance(value, bytes) else json.dumps(value).encode()).decode()


def _forgeries(client: redis.Redis, pool: str, witness: Path) -> dict[str, bytes]:
    """Return messages that must be refused, as the bytes that stand in the queue."""

    def forged(**changes: Any) -> bytes:
        message = _genuine(client, pool, "endings.succeed")
        message["properties"]["delivery_tag"] = str(uuid4())
        for name, value in changes.items():
            if name in ("headers", "properties") and isinstance(value, dict):
                message[name] |= value
            else:
                message[name.replace("_", "-") if name.startswith("content") else name] = value
        return json.dumps(message).encode()

    exploit = pickle.dumps(_Exploit(witness))
    starmap = [[{"task": "poolwise.run", "args": [], "kwargs": {}}, [["endings.succeed", "{}"]]], {}, {}]
    ours = _genuine(client, pool, "endings.succeed")["headers"][HEADER]
    bomb = {"headers": {"compression": "application/x-gzip"}, "body": _body(zlib.compress(b"0" * 10_000_000))}
    pickled = {"content_type": "application/x-python-serialize", "content_encoding": "binary"}
    return {
        "pickle": forged(body=_body(exploit), **pickled),
        "pickle that says JSON": forged(body=_body(exploit)),
        "pickle as the whole message": exploit,
        "yaml": forged(
            content_type="application/x-yaml", body=_body(b"!!python/object/apply:os.system ['true']")
        ),
        "msgpack": forged(content_type="application/x-msgpack", content_encoding="binary"),
        "an unknown task": forged(headers={"task": "os.system"}),
        "a task of Celery's own": forged(headers={"task": "celery.starmap"}, body=_body(starmap)),
        "a task that is a list": forged(headers={"task": []}),
        "the first protocol": forged(
            headers={"task": None}, body=_body({"task": "poolwise.run", "id": "x", "args": []})
        ),
        "not signed": forged(headers={HEADER: {"attempt": 1}}),
        "a wrong signature": forged(
            headers={HEADER: {**ours, "signature": signing.sign("message", "another text")}}
        ),
        "another's definition": forged(body=_body([["endings.exit_process", "{}"], {}, {"chain": None}])),
        "a callback": forged(
            body=_body([["endings.succeed", "{}"], {}, {"callbacks": [{"task": "celery.map"}]}])
        ),
        "huge headers": forged(headers={"huge": "x" * 2_000_000, HEADER: None}),
        "a bomb": forged(**bomb),
        "cut off": forged()[:-40],
        "not UTF-8": b"\xff\xfe" + forged(),
        "nothing": b"",
        "a number": b"7",
        "nested without end": b"[" * 200_000,
        "a tag that is a list": forged(properties={"delivery_tag": ["x"]}),
        "a tag that is a number": forged(properties={"delivery_tag": 7}),
        "no properties": forged(properties=None),
        "no body": forged(body=None),
        "a body that is no base64": forged(body="\N{SNOWMAN}"),
        "an unknown encoding": forged(properties={"body_encoding": "rot13"}),
        "no headers": forged(headers=None),
        "headers that are a list": forged(headers=["task"]),
    }


def test_no_pool_is_harmed_by_what_a_stranger_puts_into_its_queue(platform: Platform, tmp_path: Path) -> None:
    witness, client = tmp_path / "exploited", redis.Redis.from_url(settings.REDIS_URL)
    before = {pool: pools_up()[pool][0] for pool in POOLS}
    flaky = {pool: submit("endings.flaky", {"succeed_on": 2}, pool=pool)[0] for pool in POOLS}
    platform.wait_for(*flaky.values())
    refused = {}
    for pool in POOLS:
        forgeries = _forgeries(client, pool, witness)
        replay = _genuine(client, pool, "endings.flaky", str(flaky[pool].pk), attempt=1)
        client.lpush(settings.JOB_POOLS[pool]["queue"], *forgeries.values(), json.dumps(replay))
        refused[pool] = before[pool].refused + len(forgeries) + 1  # and the command below
    client.xadd(stream_key(), {"e": '{"id": "forged"}'})
    ask_workers("shutdown", {})
    honest = {pool: submit("endings.succeed", {}, pool=pool)[0] for pool in POOLS}
    platform.wait_for(*honest.values())
    assert {job.state for job in honest.values()} == {JobState.SUCCEEDED}
    eventually(lambda: {pool: pools_up()[pool][0].refused for pool in POOLS} == refused, timeout_s=10)
    assert {pool: pools_up()[pool][0].pid for pool in POOLS} == {pool: before[pool].pid for pool in POOLS}
    assert not witness.exists()
    eventually(lambda: client.hlen("unacked") == 0)  # else a forged message would come back for ever
    for pool in POOLS:
        log = platform.log_of(pool)
        assert "refused a message and dropped it" in log
        assert max(map(len, log.splitlines())) < 20_000
        attempts = flaky[pool].attempt
        flaky[pool].refresh_from_db()
        assert (flaky[pool].state, flaky[pool].attempt) == (JobState.SUCCEEDED, attempts), "replayed"
    client.close()
    assert Job.objects.count() == 2 * len(POOLS)
