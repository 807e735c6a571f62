"""The thread that claims and reports for all slots, against a Redis that goes away, is full or refuses a part."""

import threading
import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
import redis

from poolwise.lifecycle import stream
from poolwise.lifecycle.stream import Claim, ClaimRequest, Ending, Outcome, Place, Started
from poolwise.support.timing import Timings
from poolwise.worker.conversation import MOST_AT_ONCE, Conversation
from tests.helpers.core import after, reports
from tests.helpers.pace import eventually, limit_s

PLACE = Place("w@h", 1, "slot-1")


def claim_of(job_id: str, token: str = "w@h 1") -> ClaimRequest:
    return ClaimRequest(Started(job_id, 1, PLACE, Timings(started_at=1.0)), token)


def outcome_of(job_id: str) -> Outcome:
    return Outcome(job_id, 1, PLACE, Timings(started_at=1.0, finished_at=2.0), Ending.SUCCEEDED)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """How many claims and reports each call to Redis had."""
    calls: list[tuple[int, int]] = []
    exchange = stream.exchange

    def noted(client: Any, claims: Any, outcomes: Any) -> Any:
        calls.append((len(claims), len(outcomes)))
        return exchange(client, claims, outcomes)

    monkeypatch.setattr(stream, "exchange", noted)
    return calls


def talk() -> Conversation:
    return Conversation(lambda call: call())


def blocked() -> tuple[Conversation, threading.Event]:
    """Return a conversation whose thread waits, within its first answer, for the event."""
    conversation, event = talk(), threading.Event()
    conversation.report(outcome_of(str(uuid4())), lambda: event.wait(60))
    return conversation, event


def test_what_comes_during_a_call_goes_together_with_the_next(own_keys: Any, calls: Any) -> None:
    conversation, event = blocked()
    eventually(lambda: calls == [(0, 1)])
    answers: list[Any] = []
    first, second = str(uuid4()), str(uuid4())
    for request in (claim_of(first, "a"), claim_of(second, "a"), claim_of(first, "b")):
        conversation.claim(request, answers.append)
    conversation.report(outcome_of(first), lambda: answers.append("reported"))
    event.set()
    eventually(lambda: conversation.is_settled)
    # Reports come before claims, so that the attempt counts as ended.
    assert calls == [(0, 1), (3, 1)]
    assert answers == [Claim.CLAIMED, Claim.CLAIMED, Claim.TAKEN, "reported"]


def test_one_call_has_a_largest_size(own_keys: Any, calls: Any) -> None:
    conversation, event = blocked()
    eventually(lambda: calls == [(0, 1)])
    for _ in range(MOST_AT_ONCE + 5):
        conversation.claim(claim_of(str(uuid4())), lambda _: None)
    event.set()
    eventually(lambda: conversation.is_settled)
    assert calls[1:] == [(MOST_AT_ONCE, 0), (5, 0)]
    assert len(reports(own_keys)) == MOST_AT_ONCE + 6


def test_claims_and_reports_wait_for_redis_and_arrive_in_order(own_redis: Any) -> None:
    conversation, answers, job_id = talk(), list[Any](), str(uuid4())
    conversation.claim(claim_of(job_id), answers.append)
    conversation.report(outcome_of(job_id), lambda: answers.append("reported"))
    time.sleep(0.2)
    assert answers == []
    own_redis.start()
    eventually(lambda: conversation.is_settled, limit_s(15))
    assert answers == [Claim.CLAIMED, "reported"]
    assert {type(entry) for entry in reports(own_redis.client())} == {Started, Outcome}


def test_a_full_redis_takes_them_once_it_has_room(own_redis: Any) -> None:
    own_redis.start()
    client = own_redis.client()
    client.config_set("maxmemory", 1)
    conversation, answers = talk(), list[Any]()
    conversation.claim(claim_of(str(uuid4())), answers.append)
    after(0.4, lambda: client.config_set("maxmemory", 0))
    eventually(lambda: answers == [Claim.CLAIMED], limit_s(15))
    assert len(reports(client)) == 1


def test_what_redis_refuses_does_not_keep_back_the_rest(
    own_keys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    exchange, refused = stream.exchange, str(uuid4())
    is_refused = True

    def refuse(client: Any, claims: Any, outcomes: Any) -> Any:
        if is_refused and any(request.entry.job_id == refused for request in claims):
            raise redis.ResponseError("refused")
        return exchange(client, claims, outcomes)

    monkeypatch.setattr(stream, "exchange", refuse)
    conversation, event = blocked()
    answers: list[str] = []
    later: list[str] = []

    def note(name: str) -> Callable[[object], None]:
        return lambda _: answers.append(name)

    for name, job_id in (("a", str(uuid4())), ("refused", refused), ("b", str(uuid4()))):
        conversation.claim(claim_of(job_id), note(name))
    event.set()
    eventually(lambda: answers == ["a", "b"])
    assert not conversation.is_settled
    conversation.claim(claim_of(str(uuid4())), lambda _: later.append("later"))
    eventually(lambda: later == ["later"], limit_s(10))
    is_refused = False
    eventually(lambda: conversation.is_settled, limit_s(10))
    assert answers == ["a", "b", "refused"]


@pytest.mark.parametrize("fault", [redis.ConnectionError("away"), ValueError("unexpected")])
def test_each_is_answered_once_though_an_error_comes_between_its_parts(
    own_keys: Any, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    exchange, faults = stream.exchange, [redis.ResponseError("refused"), None, fault]

    def fail(client: Any, claims: Any, outcomes: Any) -> Any:
        if claims and faults and (error := faults.pop(0)) is not None:
            raise error
        return exchange(client, claims, outcomes)

    monkeypatch.setattr(stream, "exchange", fail)
    conversation, event = blocked()
    answers: list[Any] = []
    for name in ("a", "b", "c"):
        conversation.claim(claim_of(str(uuid4())), lambda answer, name=name: answers.append((name, answer)))
    event.set()
    eventually(lambda: conversation.is_settled, limit_s(10))
    assert sorted(answers) == [(name, Claim.CLAIMED) for name in ("a", "b", "c")]


def test_an_answer_that_fails_does_not_keep_back_the_others(own_keys: Any) -> None:
    conversation, answers = talk(), list[Any]()
    conversation.claim(claim_of(str(uuid4())), lambda _: 1 / 0)
    conversation.claim(claim_of(str(uuid4())), answers.append)
    eventually(lambda: conversation.is_settled)
    assert answers == [Claim.CLAIMED]


def test_a_flush_waits_for_reports_and_ends_without_redis(own_redis: Any) -> None:
    conversation = talk()
    conversation.report(outcome_of(str(uuid4())), lambda: None)
    begin_mono = time.monotonic()
    conversation.flush(0.2)
    assert time.monotonic() - begin_mono < limit_s(2)
    assert not conversation.is_settled
    own_redis.start()
    conversation.flush(limit_s(15))
    assert len(reports(own_redis.client())) == 1


def test_a_release_and_a_claim_of_the_same_attempt_in_one_call_let_it_run_again(own_keys: Any) -> None:
    job_id = str(uuid4())
    assert stream.exchange(own_keys, [claim_of(job_id, "w@h 1")], []) == [Claim.CLAIMED]
    released = Outcome(job_id, 1, PLACE, Timings(), Ending.RELEASED)
    assert stream.exchange(own_keys, [claim_of(job_id, "w@h 2")], [released]) == [Claim.CLAIMED]
    assert own_keys.get(stream._claim_key(job_id, 1)) == "w@h 2"


def test_a_start_counts_only_while_the_claim_is_its_workers(own_keys: Any) -> None:
    job_id = str(uuid4())
    start = Started(job_id, 1, Place("w@h", 7, "slot-2"), Timings(started_at=3.0))
    stream.exchange(own_keys, [], [start])
    assert reports(own_keys) == []
    stream.exchange(own_keys, [claim_of(job_id)], [])
    stream.exchange(own_keys, [], [start, outcome_of(job_id)])
    stream.exchange(own_keys, [], [start])
    assert reports(own_keys)[1:] == [start, outcome_of(job_id)]


def test_a_pause_leaves_a_claim_that_was_made_meanwhile_as_it_is(own_keys: Any) -> None:
    job_id = str(uuid4())
    stream.exchange(own_keys, [claim_of(job_id)], [])
    stream.exchange(own_keys, [], [Outcome(job_id, 1, PLACE, Timings(), Ending.PAUSED)])
    claim = stream._claim_key(job_id, 1)
    assert (own_keys.get(claim), own_keys.ttl(claim) > stream.CLAIM_AFTERLIFE_S) == ("w@h 1", True)


def test_all_of_a_call_is_refused_if_a_key_has_another_type_and_done_once_it_is_gone(own_keys: Any) -> None:
    first, second = str(uuid4()), str(uuid4())
    own_keys.rpush(stream._claim_key(second, 1), "x")
    assert stream.exchange(own_keys, [claim_of(first), claim_of(second)], []) == [Claim.CLAIMED] * 2
    assert [entry.job_id for entry in reports(own_keys)] == [first, second]
