import json
from dataclasses import replace
from functools import partial

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from poolwise.lifecycle import stream
from poolwise.lifecycle.stream import Claim, Ending, Outcome, Place, Reader, Started
from poolwise.metering import Waits
from poolwise.support import signing
from poolwise.support.timing import Timings
from tests.helpers.core import claim

STARTED = Started("0" * 32, 1, Place("w@h", 7, "MainThread", "job-1"), Timings(1.0, 2.0, 3.0))


def outcome(ending: Ending = Ending.SUCCEEDED, **fields) -> Outcome:
    return Outcome(STARTED.job_id, STARTED.attempt, STARTED.place, STARTED.timings, ending, **fields)


@pytest.mark.slow
@given(
    st.builds(
        Outcome,
        job_id=st.uuids().map(str),
        attempt=st.integers(1, 99),
        place=st.builds(Place, st.text(), st.integers(0, 9999), st.text(), st.text()),
        timings=st.builds(Timings, *[st.none() | st.floats(0, 1e9) for _ in range(8)]),
        ending=st.sampled_from(Ending),
        result=st.none() | st.text(min_size=1),
        error=st.text(),
        log=st.lists(st.tuples(st.floats(0, 9), st.text(), st.text())).map(tuple),
        offloaded=st.booleans(),
        retry_in_s=st.none() | st.floats(0, 99),
    )
)
def test_an_outcome_survives_the_wire(entry: Outcome) -> None:
    assert stream.decode(stream.encode(entry)) == entry


@pytest.mark.parametrize(
    "text", ["", "null", "[]", "{}", '{"id":1}', '{"id":"x","n":"y","p":[],"t":[]}', "\x00"]
)
def test_what_is_no_report_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - json's own error is one too
        stream.decode(text)
    with pytest.raises(ValueError):  # noqa: PT011 - signed nonsense is still refused
        stream.decode(f"{signing.sign(signing.REPORT, text)} {text}")


def test_a_report_of_another_release_with_more_fields_or_fewer_is_read() -> None:
    signed = partial(signing.signed, signing.REPORT)
    data = json.loads(signing.verified(signing.REPORT, stream.encode(outcome(log=((0.5, "info", "x"),)))))
    newer = data | {"p": [*data["p"], "new"], "t": [*data["t"], 1.0], "l": [[0.5, "info", "x", 7]]}
    newer |= {"q": [*[0.1] * len(Waits.__slots__), 0.2], "new": {"a": 1}}
    read = stream.decode(signed(json.dumps(newer)))
    assert read == outcome(log=((0.5, "info", "x"),), waits=Waits(*[0.1] * len(Waits.__slots__)))
    older = {"id": data["id"], "n": 1, "p": data["p"][:2], "t": data["t"][:3], "e": "succeeded", "q": [0.1]}
    read = stream.decode(signed(json.dumps(older)))
    assert read == replace(outcome(), place=Place("w@h", 7), waits=Waits(0.1))


def test_a_report_that_was_changed_or_never_signed_is_refused() -> None:
    signature, _, text = stream.encode(outcome()).partition(" ")
    for forged in (
        text,
        f"{signature} {text.replace('succeeded', 'failed')}",
        f"{signature[:-1]}A {text}",
        f" {text}",
    ):
        with pytest.raises(ValueError, match="signature is wrong or missing"):
            stream.decode(forged)


def test_an_attempt_is_claimed_once_and_the_same_token_may_ask_again(redis_client: redis.Redis) -> None:
    assert claim(redis_client, STARTED, "a") is Claim.CLAIMED
    assert claim(redis_client, STARTED, "a") is Claim.CLAIMED
    assert claim(redis_client, STARTED, "b") is Claim.TAKEN
    assert redis_client.xlen(stream.stream_key()) == 1


def test_giving_back_an_attempt_that_has_ended_changes_nothing(redis_client: redis.Redis) -> None:
    claim(redis_client, STARTED, stream.claim_token("w@h", "a"))
    stream.report(redis_client, outcome())
    stream.report(
        redis_client, outcome(Ending.RELEASED)
    )  # by a watchdog that saw it before its end was reported
    assert redis_client.xlen(stream.stream_key()) == 2
    assert claim(redis_client, STARTED, stream.claim_token("w@h", "b")) is Claim.TAKEN


def test_an_end_that_another_worker_reports_leaves_the_claim_of_the_one_that_runs_it(
    redis_client: redis.Redis,
) -> None:
    claim(redis_client, STARTED, stream.claim_token("w@h", "a"))
    stream.report(redis_client, replace(outcome(), place=Place("v@h")))
    stream.report(redis_client, outcome(Ending.RELEASED))
    assert claim(redis_client, STARTED, stream.claim_token("w@h", "b")) is Claim.CLAIMED


def test_a_cancelled_job_cannot_be_claimed(redis_client: redis.Redis) -> None:
    stream.mark_cancelled(redis_client, [STARTED.job_id])
    assert claim(redis_client, STARTED, "a") is Claim.CANCELLED
    assert redis_client.xlen(stream.stream_key()) == 1


def test_what_was_begun_before_its_job_was_marked_as_cancelled_is_not_reported_as_cancelled(
    redis_client: redis.Redis,
) -> None:
    claim(redis_client, STARTED, "a")
    stream.mark_cancelled(redis_client, [STARTED.job_id])
    assert (
        claim(redis_client, STARTED, "a") is Claim.CLAIMED
    )  # the answer was lost: it runs, and is asked to stop
    assert claim(redis_client, STARTED, "b") is Claim.TAKEN
    assert redis_client.xlen(stream.stream_key()) == 1


def test_a_claim_outlives_its_end_but_not_a_release(redis_client: redis.Redis) -> None:
    claim(redis_client, STARTED, stream.claim_token("w@h", "a"))
    stream.report(redis_client, outcome())
    assert claim(redis_client, STARTED, "b") is Claim.TAKEN
    released = replace(STARTED, attempt=2)
    claim(redis_client, released, stream.claim_token("w@h", "a"))
    stream.report(redis_client, replace(outcome(Ending.RELEASED), attempt=2))
    assert claim(redis_client, released, "b") is Claim.CLAIMED


def test_a_worker_that_reports_a_release_twice_leaves_the_next_worker_its_claim(
    redis_client: redis.Redis,
) -> None:
    claim(redis_client, STARTED, stream.claim_token("w@h", "a"))
    stream.report(redis_client, outcome(Ending.RELEASED))
    assert claim(redis_client, STARTED, stream.claim_token("w@h2", "b")) is Claim.CLAIMED
    stream.report(redis_client, outcome(Ending.RELEASED))
    assert claim(redis_client, STARTED, "c") is Claim.TAKEN


@pytest.mark.parametrize("is_expected_first", [True, False])
def test_a_claim_outlives_for_long_an_attempt_whose_second_message_may_come(
    redis_client: redis.Redis, is_expected_first: bool
) -> None:
    attempt = (STARTED.job_id, STARTED.attempt)
    other = Started("1" * 32, 1, STARTED.place, STARTED.timings)
    if is_expected_first:
        stream.expect_duplicates(redis_client, [attempt])
    for started in (STARTED, other):
        claim(redis_client, started, "a")
        stream.report(
            redis_client, outcome() if started is STARTED else replace(outcome(), job_id=other.job_id)
        )
    if not is_expected_first:
        stream.expect_duplicates(redis_client, [attempt])
    stream.report(redis_client, outcome())  # a second report shortens nothing
    assert redis_client.ttl(stream._claim_key(*attempt)) > 29 * 86_400
    assert redis_client.ttl(stream._claim_key(other.job_id, 1)) <= stream.CLAIM_AFTERLIFE_S


def test_a_reader_gets_each_entry_and_another_adopts_what_it_left(redis_client: redis.Redis) -> None:
    first, second = Reader(redis_client, "first"), Reader(redis_client, "second")
    first.prepare()
    second.prepare()
    claim(redis_client, STARTED, "a")
    [(entry_id, text)] = first.read(count=10, block_ms=10)
    assert stream.decode(text) == STARTED
    assert second.read(count=10, block_ms=10) == second.read(count=10, block_ms=0) == []
    assert second.adopt(idle_ms=0, count=10) == [(entry_id, text)]
    second.acknowledge([entry_id])
    assert redis_client.xlen(stream.stream_key()) == 0
    assert first.adopt(idle_ms=0, count=10) == []
