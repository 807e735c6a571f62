"""The door of the broker: what was published is taken, and nothing else.

What kombu has to stumble on before it gets here, real workers meet in tests/worker/test_forged_messages.py.
"""

import base64
import json
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from celery import current_app
from kombu import Message, pools

from poolwise.lifecycle import messages
from poolwise.lifecycle.broker import web_connection
from poolwise.lifecycle.messages import HEADER, signed_options, verified
from poolwise.support import signing
from poolwise.support.errors import RefusedMessage
from poolwise.worker.task import run

PARAMS = {"text": "é \u2028", "ratio": 0.1, "deep": [{"__type__": "uuid", "__value__": "none"}], "n": None}
JOB_ID = str(uuid4())


def published(**changes: Any) -> Message:
    """Return a message as the broker would bring it, some of it changed."""
    options = signed_options(
        JOB_ID, 2, "io.wait", PARAMS, published_at=1764.123456789, request_id="r-1", time_limit_s=9.5
    )
    args, ours = options.pop("args"), options.pop("headers")
    message = current_app.amqp.as_task_v2(options.pop("task_id"), messages.TASK, args, {}, **options)
    headers = {**message.headers, **ours}
    fields = {"body": json.dumps(message.body), "headers": json.loads(json.dumps(headers))}
    fields |= {"content_type": "application/json", "content_encoding": "utf-8"}
    return Message(**(fields | changes), accept={"application/json"})


def test_what_was_published_comes_out_as_it_went_in() -> None:
    message = published()
    job_id, attempt, definition, params, published_at, request_id, limits = verified(message)
    assert (job_id, definition, request_id) == (JOB_ID, "io.wait", "r-1")
    assert json.loads(params) == PARAMS
    assert limits == [9.5, None]
    assert (attempt, published_at) == (2, 1764.123456789)


def test_a_message_of_another_release_with_more_headers_is_accepted_without_them() -> None:
    message = changed_header("new", {"a": 1})
    message.headers["later"] = "x"
    assert verified(message) == verified(published())


def test_parameters_stand_nowhere_but_in_the_body() -> None:
    assert "0.1" not in json.dumps(published().headers)


def changed_header(name: str, value: Any) -> Message:
    message = published()
    message.headers[HEADER][name] = value
    return message


def changed(name: str, value: Any) -> Message:
    message = published()
    message.headers[name] = value
    return message


NULL_EMBED = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
CHAINED = {**NULL_EMBED, "callbacks": [{"task": "celery.map", "args": []}]}
TEXT = json.dumps(PARAMS, separators=(",", ":"))
FORGED = {
    "another id": (lambda: changed("id", str(uuid4())), "signature is wrong"),
    "a numeric id": (lambda: changed("id", 7), "malformed"),
    "no id": (lambda: changed("id", None), "malformed"),
    "another task": (lambda: changed("task", "celery.map"), "its task is 'celery.map'"),
    "a task that is a list": (lambda: changed("task", []), "its task is"),
    "no time limit": (lambda: changed("timelimit", [None, None]), "signature is wrong"),
    "a time limit that is none": (lambda: changed("timelimit", "soon"), "malformed"),
    "a later attempt": (lambda: changed_header("attempt", 3), "signature is wrong"),
    "attempt 0": (lambda: changed_header("attempt", 0), "malformed"),
    "attempt true": (lambda: changed_header("attempt", True), "malformed"),
    "attempt as text": (lambda: changed_header("attempt", "2"), "malformed"),
    "an endless attempt": (lambda: changed_header("attempt", 10**9), "malformed"),
    "another time": (lambda: changed_header("published_at", 1.0), "signature is wrong"),
    "a time that is none": (lambda: changed_header("published_at", "now"), "malformed"),
    "another request": (lambda: changed_header("request_id", "r-2"), "signature is wrong"),
    "a request that is none": (lambda: changed_header("request_id", {}), "malformed"),
    "no signature": (lambda: changed(HEADER, {"attempt": 2}), "not signed"),
    "no header": (lambda: changed(HEADER, None), "not signed"),
    "a signature of another kind": (lambda: changed_header("signature", 5), "signature is wrong"),
    "a signature beyond ASCII": (lambda: changed_header("signature", "é" * 43), "signature is wrong"),
    "a report's signature": (
        lambda: changed_header("signature", signing.sign(signing.REPORT, "text")), "signature is wrong"
    ),
    "no headers": (lambda: published(headers=None), "its task is None"),
    "another definition": (
        lambda: published(body=json.dumps([["cpu.primes", TEXT], {}, NULL_EMBED])), "signature is wrong"
    ),
    "another parameter": (
        lambda: published(body=json.dumps([["io.wait", TEXT + " "], {}, NULL_EMBED])), "signature is wrong"
    ),
    "unpacked parameters": (
        lambda: published(body=json.dumps([["io.wait", PARAMS], {}, NULL_EMBED])), "cannot be read|is not a definition and"
    ),
    "a callback": (lambda: published(body=json.dumps([["io.wait", TEXT], {}, CHAINED])), "not a definition"),
    "named arguments": (
        lambda: published(body=json.dumps([["io.wait", TEXT], {"self": 1}, NULL_EMBED])), "not a definition"
    ),
    "three arguments": (
        lambda: published(body=json.dumps([["io.wait", TEXT, 1], {}, NULL_EMBED])), "cannot be read"
    ),
    "a definition that is none": (
        lambda: published(body=json.dumps([[["io.wait"], TEXT], {}, NULL_EMBED])), "not a definition"
    ),
    "no embed": (lambda: published(body=json.dumps([["io.wait", TEXT], {}, None])), "cannot be read"),
    "an empty body": (lambda: published(body=""), "cannot be read"),
    "a number": (lambda: published(body="7"), "cannot be read"),
    "a text": (lambda: published(body='"abc"'), "cannot be read"),
    "an object": (lambda: published(body='{"a": 1, "b": 2, "c": 3}'), "cannot be read"),
    "cut off": (lambda: published(body=json.dumps([["io.wait", TEXT], {}, NULL_EMBED])[:-9]), "cannot be read"),
    "not UTF-8": (lambda: published(body=b"\xff\xfe[]"), "cannot be read"),
    "nested without end": (lambda: published(body="[" * 100_000), "cannot be read"),
    "pickle": (
        lambda: published(body=b"\x80\x04N.", content_type="application/x-python-serialize", content_encoding="binary"),
        "not application/json",
    ),
    "pickle that says JSON": (lambda: published(body=b"cos\nsystem\n(S'true'\ntR."), "cannot be read"),
    "yaml": (lambda: published(content_type="application/x-yaml"), "not application/json"),
    "msgpack": (
        lambda: published(content_type="application/x-msgpack", content_encoding="binary"), "not application/json"
    ),
    "data": (lambda: published(content_type="application/data"), "not application/json"),
    "no content type": (lambda: published(content_type=None), "not application/json"),
    "an unknown encoding": (lambda: published(content_encoding="rot13"), "not application/json"),
    "an id that is a list": (lambda: changed("id", [JOB_ID]), "malformed"),
    "an endless id": (lambda: changed("id", "x" * 100_000), "signature is wrong"),
    "attempt -1": (lambda: changed_header("attempt", -1), "malformed"),
    "attempt 2.0": (lambda: changed_header("attempt", 2.0), "malformed"),
    "no attempt": (lambda: changed_header("attempt", None), "malformed"),
    "no time": (lambda: changed_header("published_at", None), "malformed"),
    "a time that is no number": (lambda: changed_header("published_at", float("nan")), "signature is wrong"),
    "no request": (lambda: changed_header("request_id", None), "malformed"),
    "no limits": (lambda: changed("timelimit", None), "malformed"),
    "longer limits": (lambda: changed("timelimit", [9_999, None]), "signature is wrong"),
    "swapped limits": (lambda: changed("timelimit", [None, 9.5]), "signature is wrong"),
    "an empty signature": (lambda: changed_header("signature", ""), "signature is wrong"),
    "half a signature": (lambda: changed_header("signature", "A" * 20), "signature is wrong"),
    "a list of headers": (lambda: changed(HEADER, ["signature"]), "not signed"),
    "an empty definition": (lambda: published(body=json.dumps([["", TEXT], {}, NULL_EMBED])), "signature is wrong"),
    "no parameters": (lambda: published(body=json.dumps([["io.wait", ""], {}, NULL_EMBED])), "signature is wrong"),
    "a chord": (lambda: published(body=json.dumps([["io.wait", TEXT], {}, {"chord": {"task": "x"}}])), "not a definition"),
    "an embed that is a list": (lambda: published(body=json.dumps([["io.wait", TEXT], {}, []])), "cannot be read"),
    "null": (lambda: published(body="null"), "cannot be read"),
    "a content type that is a list": (lambda: published(content_type=[1]), "not application/json"),
}  # fmt: skip


@pytest.mark.parametrize("forge", FORGED)
def test_a_forged_or_malformed_message_is_refused_with_its_reason(forge: str) -> None:
    make, reason = FORGED[forge]
    with pytest.raises(RefusedMessage, match=reason):
        verified(make())


def test_a_decoded_special_value_is_no_parameter_text() -> None:
    body = json.dumps(
        [["io.wait", {"__type__": "uuid", "__value__": {"hex": uuid4().hex, "version": 4}}], {}, NULL_EMBED]
    )
    with pytest.raises(RefusedMessage, match="not a definition"):
        verified(published(body=body))


UNSEALED = {
    "eta": "2030-01-01T00:00:00Z", "expires": "2030-01-01T00:00:00Z", "retries": 5, "ignore_result": False,
    "group": "g", "chord": {"task": "celery.map"}, "reply_to": "x", "replaced_task_nesting": 9, "argsrepr": "a\nforged",
    "root_id": "elsewhere", "parent_id": "elsewhere", "stamped_headers": ["a"], "shadow": "no.such", "huge": "x" * 10_000,
}  # fmt: skip


@pytest.mark.parametrize("name", UNSEALED)
def test_a_header_that_is_not_signed_has_no_effect(name: str) -> None:
    assert verified(changed(name, UNSEALED[name])) == verified(published())


def test_a_key_can_be_changed_while_messages_wait(settings: Any) -> None:
    waiting = published()
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "a new one", [settings.SECRET_KEY]
    assert verified(waiting).job_id == JOB_ID
    settings.SECRET_KEY_FALLBACKS = []
    with pytest.raises(RefusedMessage, match="signature is wrong"):
        verified(waiting)


def test_a_body_that_kombu_sends_can_be_decoded_again(own_keys: Any, unserved_pool: str) -> None:
    options = signed_options(JOB_ID, 1, "io.wait", PARAMS, published_at=1.5)
    # Not the app's own connection, which may be to the Redis of another test.
    with pools.producers[web_connection()].acquire(block=True) as producer:
        run.apply_async(queue=unserved_pool, producer=producer, **options)
    raw = json.loads(own_keys.lpop(unserved_pool))
    message = SimpleNamespace(
        headers=raw["headers"], content_type=raw["content-type"], content_encoding=raw["content-encoding"],
        body=base64.b64decode(raw["body"]),
    )  # fmt: skip
    assert verified(message).job_id == JOB_ID


def test_there_are_enough_of_them() -> None:
    assert len(FORGED) >= 60
