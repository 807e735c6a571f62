import asyncio
import errno
import logging
import os
import signal
from collections.abc import Callable
from datetime import date
from typing import Any
from uuid import uuid4

import pytest
import structlog
from celery.exceptions import SoftTimeLimitExceeded

from poolwise.definitions import AttemptContext
from poolwise.lifecycle import execution, stream
from poolwise.lifecycle.execution import Delivery
from poolwise.lifecycle.stream import Claim, Ending, Outcome, Started
from poolwise.metering import run_queue
from poolwise.metering.waits import UNATTRIBUTED
from poolwise.pools import prefork
from poolwise.pools.interrupts import HardStop, Interrupted, RevokedStop, ShutdownStop
from poolwise.support.redis import key
from poolwise.support.timing import wall_now
from tests.helpers.attempts import execute
from tests.helpers.core import after, reports
from tests.helpers.pace import limit_s


class Flaky(ValueError):
    """Worth another attempt."""


class Unspeakable(Exception):
    """Its text cannot be had, and asking for it does not even raise an Exception."""

    def __str__(self) -> str:
        raise KeyboardInterrupt

    __repr__ = __str__


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("no text")


ERRORS: dict[str, Callable[[], BaseException]] = {
    "value": lambda: ValueError("no good"),
    "flaky": lambda: Flaky("again"),
    "exit": lambda: SystemExit(3),
    "keyboard": KeyboardInterrupt,
    "generator": GeneratorExit,
    "cancelled": asyncio.CancelledError,
    "soft": SoftTimeLimitExceeded,
    "unspeakable": Unspeakable,
    "long": lambda: ValueError("x" * 10_000),
    "group": lambda: ExceptionGroup("two", [ValueError("one"), TypeError("two")]),
    "hard stop": HardStop, "revoked stop": RevokedStop, "shutdown stop": ShutdownStop,
}  # fmt: skip
hooks: dict[str, Callable[[], object]] = {}


def fail(error: str) -> None:
    raise ERRORS[error]()


async def fail_async(error: str) -> None:
    await asyncio.sleep(0)
    raise ERRORS[error]()


def give(value: Any) -> Any:
    return value


def give_odd(kind: str) -> Any:
    return {"nan": float("nan"), "set": {1}, "key": {(1, 2): 3}, "half": "\udc80", "date": date(2026, 1, 2),
            "none": None, "object": object(), "unprintable": Unprintable()}[kind]  # fmt: skip


def nest() -> Any:
    nested: list[Any] = []
    nested.append(nested)
    return nested


def log_many(lines: int) -> None:
    for number in range(lines):
        logging.getLogger("body").warning("line %d", number)


def log_everywhere() -> str:
    structlog.get_logger("body").info("event", size=3, text="a b")
    logging.getLogger("body").info("%s", Unprintable())
    logging.getLogger("body").info("x" * 5_000)
    return "done"


def show_context(context: AttemptContext) -> list[Any]:
    return [context.job_id, context.attempt, context.definition, context.pool]


def hooked() -> int:
    hooks["body"]()
    return 1


def deliver(definition: str, params: Any = None, **fields: Any) -> Delivery:
    return Delivery(
        str(uuid4()), fields.pop("attempt", 1), definition, params or {}, "threads", "w@h", **fields
    )


def run(define: Any, body: Any, params: Any = None, **options: Any) -> Outcome:
    attempt = options.pop("attempt", 1)
    define(body, name=f"t.{body.__name__}", **options)
    outcome = execute(deliver(f"t.{body.__name__}", params, attempt=attempt))
    assert outcome is not None
    return outcome


# --- claims ---------------------------------------------------------------------------------------------
def test_an_attempt_is_reported_as_started_and_as_ended_with_every_duration(
    own_keys: Any, define: Any
) -> None:
    define(give, name="t.give")
    now = wall_now()
    delivery = deliver(
        "t.give", {"value": [1, "a"]}, published_at=now - 2, received_at=now - 1, received_mono=0.0
    )
    outcome = execute(delivery)
    started, ended = reports(own_keys)
    assert isinstance(started, Started)
    assert ended == outcome
    assert (ended.job_id, ended.ending, ended.result) == (delivery.job_id, Ending.SUCCEEDED, '[1, "a"]')
    assert None not in ended.timings.as_dict().values()
    assert (ended.place.worker, ended.place.pid, ended.place.thread) == ("w@h", os.getpid(), "MainThread")


def test_a_message_that_comes_twice_runs_once(own_keys: Any, define: Any) -> None:
    ran: list[int] = []
    hooks["body"] = lambda: ran.append(1)
    define(hooked, name="t.work")
    delivery = deliver("t.work")
    assert execute(delivery) is not None
    assert execute(delivery) is None
    assert ran == [1]
    assert len(reports(own_keys)) == 2


def test_the_next_attempt_of_a_job_is_another_claim(own_keys: Any, define: Any) -> None:
    define(give, name="t.give")
    first = deliver("t.give", {"value": 1})
    second = Delivery(first.job_id, 2, "t.give", {"value": 1}, "threads", "w@h")
    assert [execute(d).attempt for d in (first, second)] == [1, 2]  # type: ignore[union-attr]


def test_the_message_of_a_cancelled_job_is_dropped_and_the_job_reported_as_cancelled(
    own_keys: Any, define: Any
) -> None:
    define(give, name="t.give")
    delivery = deliver("t.give", {"value": 1})
    stream.mark_cancelled(own_keys, [delivery.job_id])
    assert execute(delivery) is None
    [ended] = reports(own_keys)
    assert (ended.job_id, ended.ending, ended.error) == (
        delivery.job_id, Ending.CANCELLED, "Cancelled before it began.",
    )  # fmt: skip
    assert ended.timings.started_at is None


# --- what a body may do ---------------------------------------------------------------------------------
def test_a_definition_that_is_gone_ends_as_failed_with_a_clear_message(own_keys: Any) -> None:
    outcome = execute(deliver("io.wiat"))
    assert (outcome.ending, outcome.error_type) == (Ending.FAILED, "UnknownDefinition")
    assert "io.wait" in outcome.error
    assert outcome.retry_in_s is None
    assert outcome.timings.run_s is not None


@pytest.mark.parametrize("params", [{}, {"value": 1, "more": 2}])
def test_parameters_that_no_longer_fit_end_as_failed(own_keys: Any, define: Any, params: Any) -> None:
    outcome = run(define, give, params, retry_on=Exception)
    assert (outcome.ending, outcome.error_type, outcome.retry_in_s) == (
        Ending.FAILED,
        "InvalidParameters",
        None,
    )
    assert outcome.error


@pytest.mark.parametrize(
    ("error", "error_type", "text"),
    [
        ("value", "ValueError", "no good"), ("exit", "SystemExit", "3"), ("keyboard", "KeyboardInterrupt", ""),
        ("generator", "GeneratorExit", ""), ("cancelled", "CancelledError", ""), ("group", "ExceptionGroup", "two"),
    ],
)  # fmt: skip
def test_whatever_a_body_raises_is_its_end_and_nothing_more(
    own_keys: Any, define: Any, error: str, error_type: str, text: str
) -> None:
    outcome = run(define, fail, {"error": error})
    assert (outcome.ending, outcome.error_type) == (Ending.FAILED, error_type)
    assert text in outcome.error
    assert "in fail" in outcome.traceback
    assert reports(own_keys)[-1] == outcome
    assert outcome.timings.cpu_s is not None


@pytest.mark.parametrize("error", ["value", "exit", "keyboard", "generator", "cancelled"])
def test_whatever_a_coroutine_raises_is_its_end_too(own_keys: Any, define: Any, error: str) -> None:
    outcome = run(define, fail_async, {"error": error})
    assert outcome.ending is Ending.FAILED
    assert outcome.error_type in (type(ERRORS[error]()).__name__, "BodyCancelled")
    assert run(define, give, {"value": 1}).ending is Ending.SUCCEEDED


def test_an_error_whose_text_raises_anything_is_recorded_by_its_name_and_frames(
    own_keys: Any, define: Any
) -> None:
    outcome = run(define, fail, {"error": "unspeakable"})
    assert (outcome.ending, outcome.error_type) == (Ending.FAILED, "Unspeakable")
    assert "cannot be shown" in outcome.error
    assert "in fail" in outcome.traceback


def test_long_texts_of_errors_are_cut(own_keys: Any, define: Any) -> None:
    assert len(run(define, fail, {"error": "long"}).error) == 4_000


@pytest.mark.parametrize("kind", ["nan", "half", "object", "unprintable"])
def test_a_result_that_cannot_be_stored_is_refused_with_the_remedy(
    own_keys: Any, define: Any, kind: str
) -> None:
    outcome = run(define, give_odd, {"kind": kind}, retry_on=Exception)
    assert (outcome.ending, outcome.error_type, outcome.result) == (Ending.FAILED, "ResultRefused", None)
    assert "return numbers, texts, lists, dictionaries, dates, dataclasses" in outcome.error
    assert outcome.retry_in_s is None


def test_a_result_within_itself_is_refused(own_keys: Any, define: Any) -> None:
    assert run(define, nest).error_type == "ResultRefused"


@pytest.mark.parametrize(
    ("kind", "text"), [("date", '"2026-01-02"'), ("none", "null"), ("set", "[1]"), ("key", '{"1,2": 3}')]
)
def test_what_a_parameter_may_be_is_a_result(own_keys: Any, define: Any, kind: str, text: str) -> None:
    assert run(define, give_odd, {"kind": kind}).result == text


@pytest.mark.parametrize(("size", "ending"), [(98, Ending.SUCCEEDED), (99, Ending.FAILED)])
def test_a_result_may_have_as_many_bytes_as_the_limit(
    own_keys: Any, define: Any, settings: Any, size: int, ending: Ending
) -> None:
    settings.JOB_RESULT_MAX_BYTES = 100  # with the two quotes
    outcome = run(define, give, {"value": "x" * size})
    assert outcome.ending is ending
    assert "JOB_RESULT_MAX_BYTES" in outcome.error or ending is Ending.SUCCEEDED


def test_the_body_gets_the_number_of_its_attempt(own_keys: Any, define: Any) -> None:
    outcome = run(define, show_context, takes_context=True, attempt=2)
    assert outcome.result == f'["{outcome.job_id}", 2, "t.show_context", "threads"]'


# --- stops ----------------------------------------------------------------------------------------------
def exit_by(number: signal.Signals) -> SystemExit:
    """Return what billiard raises in the child of a prefork pool at a signal."""
    return SystemExit(-(256 - number))


def fail_as_it_exits(number: int) -> None:
    try:
        raise exit_by(signal.Signals(number))
    finally:
        raise ValueError("the clean-up failed")


@pytest.mark.parametrize(
    ("number", "ending", "error_type"),
    [
        (signal.SIGTERM, Ending.FAILED, "TimeLimitExceeded"),
        (getattr(signal, prefork.REVOKE_SIGNAL), Ending.CANCELLED, "Cancelled"),
    ],
)
def test_a_signal_that_ends_the_process_counts_even_if_the_clean_up_fails(
    own_keys: Any, define: Any, monkeypatch: pytest.MonkeyPatch, number: int, ending: Ending, error_type: str
) -> None:
    define(fail_as_it_exits, name="t.fail", time_limit_s=1e-9)
    with pytest.raises(ValueError, match="the clean-up failed"):  # as any error of a job, without a signal
        fail_as_it_exits(number)
    assert execute(deliver("t.fail", {"number": number})).error_type == "ValueError"
    monkeypatch.setattr(prefork, "is_ending", lambda: True)
    with pytest.raises(SystemExit):
        execute(deliver("t.fail", {"number": number}))
    reported = reports(own_keys)[-1]
    assert (reported.ending, reported.error_type) == (ending, error_type)


def test_causes_of_an_error_that_form_a_circle_are_not_followed_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(prefork, "is_ending", lambda: True)
    error = ValueError()
    error.__cause__ = KeyError()
    error.__cause__.__cause__ = error
    assert prefork.exit_behind(error) is None


@pytest.mark.parametrize(
    ("error", "ending", "error_type"),
    [
        ("hard stop", Ending.FAILED, "TimeLimitExceeded"),
        ("revoked stop", Ending.CANCELLED, "Cancelled"),
        ("shutdown stop", Ending.RELEASED, ""),
    ],
)
def test_a_stop_by_the_pool_is_reported_and_then_raised_again(
    own_keys: Any, define: Any, error: str, ending: Ending, error_type: str
) -> None:
    define(fail, name="t.fail", time_limit_s=60, retry_on=Exception)
    with pytest.raises(Interrupted):
        execute(deliver("t.fail", {"error": error}))
    reported = reports(own_keys)[-1]
    assert (reported.ending, reported.error_type, reported.retry_in_s) == (ending, error_type, None)
    assert reported.timings.run_s is not None


def test_a_released_attempt_can_be_claimed_again(own_keys: Any, define: Any) -> None:
    define(fail, name="t.fail")
    delivery = deliver("t.fail", {"error": "shutdown stop"})
    for _ in range(2):
        with pytest.raises(ShutdownStop):
            execute(delivery)
    assert len(reports(own_keys)) == 4


def test_a_shutdown_past_the_limit_is_the_limit(own_keys: Any, define: Any) -> None:
    define(fail, name="t.fail", time_limit_s=1e-9)
    with pytest.raises(ShutdownStop):
        execute(deliver("t.fail", {"error": "shutdown stop"}))
    assert reports(own_keys)[-1].error_type == "TimeLimitExceeded"


def test_a_soft_limit_says_which(own_keys: Any, define: Any) -> None:
    outcome = run(define, fail, {"error": "soft"}, soft_time_limit_s=2.5)
    assert outcome.error == "The soft time limit of 2.5 s was exceeded."


# --- retries --------------------------------------------------------------------------------------------
def test_only_what_the_definition_names_is_worth_another_attempt(own_keys: Any, define: Any) -> None:
    assert run(define, fail, {"error": "value"}, retry_on=Flaky).retry_in_s is None
    assert run(define, fail, {"error": "flaky"}, retry_on=Flaky).retry_in_s is not None
    assert run(define, fail, {"error": "flaky"}, retry_on=ValueError).retry_in_s is not None
    assert run(define, fail, {"error": "exit"}, retry_on=Exception).retry_in_s is None
    assert run(define, fail, {"error": "flaky"}).retry_in_s is None


@pytest.mark.parametrize(
    ("attempt", "least_s", "most_s"), [(1, 1, 2), (2, 2, 4), (5, 16, 32), (99, 43_200, 86_400)]
)
def test_the_delay_doubles_with_jitter_up_to_a_day(
    define: Any, attempt: int, least_s: float, most_s: float
) -> None:
    definition = define(fail, name="t.fail", retry_on=Flaky, retry_delay_s=2.0)
    delays = {execution._retry_in_s(Flaky(), definition, attempt) for _ in range(50)}
    assert all(least_s <= delay <= most_s for delay in delays)
    assert len(delays) > 40


# --- log lines ------------------------------------------------------------------------------------------
def test_log_lines_are_kept_up_to_the_limit_and_counted_past_it(
    own_keys: Any, define: Any, settings: Any
) -> None:
    settings.JOB_LOG_MAX_LINES = 3
    outcome = run(define, log_many, {"lines": 5})
    assert [(level, text) for _, level, text in outcome.log] == [("warning", f"line {n}") for n in range(3)]
    assert outcome.log_dropped == 2
    assert all(at >= 0 for at, _, _ in outcome.log)


def test_log_lines_are_plain_cut_and_never_the_bodys_end(
    own_keys: Any, define: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", False)
    outcome = run(define, log_everywhere)
    texts = [text for _, _, text in outcome.log]
    assert outcome.ending is Ending.SUCCEEDED
    assert texts[0] == "event size=3 text='a b'"
    assert "cannot be shown" in texts[1]
    assert len(texts[2]) == 2_000


def test_the_lines_of_one_attempt_are_not_those_of_the_next(own_keys: Any, define: Any) -> None:
    run(define, log_many, {"lines": 2})
    assert len(run(define, log_many, {"lines": 1}).log) == 1


# --- no file can be opened ------------------------------------------------------------------------------
def test_a_job_runs_unmeasured_where_its_thread_cannot_be_asked_for_its_waits(
    own_keys: Any, define: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(run_queue, "IS_LINUX", True)
        patch.setattr(run_queue, "RunQueue", refuse)
        run_queue._forget()
        unmeasured = run(define, give, {"value": 1})
    assert unmeasured.ending is Ending.SUCCEEDED
    assert unmeasured.waits == UNATTRIBUTED
    assert run(define, give, {"value": 1}).ending is Ending.SUCCEEDED


def test_an_attempt_whose_probe_cannot_be_made_is_reported(
    own_keys: Any, define: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(execution.body_probe, "BodyProbe", refuse)
    outcome = run(define, give, {"value": 1})
    assert (outcome.ending, outcome.error_type) == (Ending.FAILED, "OSError")
    assert reports(own_keys)[-1] == outcome


# --- Redis goes away ------------------------------------------------------------------------------------
def test_a_report_waits_for_redis_and_arrives_when_it_is_back(own_redis: Any, define: Any) -> None:
    own_redis.start()
    hooks["body"] = lambda: (own_redis.kill(), after(0.4, own_redis.start))
    outcome = run(define, hooked)
    assert reports(own_redis.client()) == [outcome]
    assert outcome.timings.run_s < limit_s(0.3)


def test_a_claim_waits_for_redis_too(own_redis: Any, define: Any) -> None:
    after(0.3, own_redis.start)
    assert run(define, give, {"value": 1}).ending is Ending.SUCCEEDED
    assert len(reports(own_redis.client())) == 2


def test_a_report_waits_for_a_redis_that_is_full(own_redis: Any, define: Any) -> None:
    own_redis.start()
    client = own_redis.client()
    hooks["body"] = lambda: (
        client.config_set("maxmemory", 1),
        after(0.4, lambda: client.config_set("maxmemory", 0)),
    )
    outcome = run(define, hooked)
    assert reports(client)[-1] == outcome


def test_a_claim_whose_answer_was_lost_is_asked_for_again_and_granted(
    own_keys: Any, define: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    exchange = stream.exchange
    asked: list[list[Claim]] = []

    def lose_the_first_answer(*args: Any) -> list[Claim]:
        asked.append(exchange(*args))
        if len(asked) == 1:
            raise TimeoutError
        return asked[-1]

    monkeypatch.setattr(stream, "exchange", lose_the_first_answer)
    assert run(define, give, {"value": 1}).ending is Ending.SUCCEEDED
    assert asked == [[Claim.CLAIMED], [Claim.CLAIMED], []]


def test_a_soft_limit_that_comes_after_the_body_does_not_lose_the_report(
    own_keys: Any, define: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    exchange = stream.exchange
    calls: list[int] = []

    def interrupted_once(*args: Any) -> list[Claim]:
        calls.append(1)
        if len(calls) == 1:
            raise SoftTimeLimitExceeded
        return exchange(*args)

    outcome = run(define, give, {"value": 1})
    monkeypatch.setattr(execution, "exchange", interrupted_once)
    execution.report(outcome)
    assert reports(own_keys)[-1] == outcome
    assert len(calls) == 2


def test_log_context_names_the_job_and_is_gone_afterwards(own_keys: Any, define: Any) -> None:
    seen: dict[str, Any] = {}
    hooks["body"] = lambda: seen.update(structlog.contextvars.get_contextvars())
    define(hooked, name="t.work")
    delivery = deliver("t.work", request_id="r-1")
    execute(delivery)
    wanted = {"job": delivery.job_id, "attempt": 1, "definition": "t.work", "pool": "threads"}
    assert seen == {**wanted, "worker": "w@h", "request_id": "r-1"}
    assert "job" not in structlog.contextvars.get_contextvars()
    assert own_keys.exists(key("claim", delivery.job_id, 1))
