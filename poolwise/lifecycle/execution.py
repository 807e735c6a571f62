"""One attempt in its slot. Only `_run` handles what the body raises; nothing here touches the database.

`poolwise.worker.conversation` makes the claim before it and the report after it.
"""

import itertools
import json
import os
import secrets
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, replace
from random import uniform
from typing import Any, Self

import structlog
from celery.exceptions import SoftTimeLimitExceeded
from django.conf import settings

from poolwise import definitions
from poolwise.definitions import AttemptContext, Definition
from poolwise.lifecycle.messages import Verified
from poolwise.lifecycle.stream import (
    Claim,
    ClaimRequest,
    Ending,
    Outcome,
    Place,
    Started,
    claim_token,
    encode,
    exchange,
)
from poolwise.metering import UNATTRIBUTED
from poolwise.pools import api, body_probe, left_programs, prefork
from poolwise.support import (
    REDIS_ERRORS,
    PoolwiseError,
    ResultRefused,
    Stopwatch,
    Timings,
    compact_json,
    logs,
    redacted,
    redacted_json,
    wall_now,
    worker_client,
)

log = structlog.get_logger(__name__)
_MAX_BACK_OFF_S = 2.0
#: Distinguishes the claims of this process; random bytes for each would give up the interpreter's lock each time.
_PROCESS, _claims = secrets.token_hex(8), itertools.count()
_MAX_RETRY_DELAY_S = 86_400.0
_MAX_ERROR_CHARS = 4_000
_MAX_TRACEBACK_CHARS = 60_000


@dataclass(slots=True, unsafe_hash=True)
class Delivery:
    """A message that a worker received: everything the attempt needs."""

    job_id: str
    attempt: int
    definition: str
    params: Mapping[str, Any]
    pool: str
    worker: str
    published_at: float | None = None
    received_at: float | None = None
    received_mono: float | None = None
    request_id: str = ""

    @classmethod
    def of(cls, verified: Verified, *, pool: str, worker: str) -> Self:
        """Return a message that this worker has received now."""
        return cls(
            verified.job_id, verified.attempt, verified.definition, compact_json.loads(verified.params), pool, worker,
            verified.published_at, wall_now(), time.monotonic(), verified.request_id,
        )  # fmt: skip


def claim_of(delivery: Delivery, greenlet_or_task: str = "") -> ClaimRequest:
    """Return the claim of a delivered attempt."""
    # Its process and thread are not known before it starts.
    place = Place(delivery.worker, 0, "", greenlet_or_task)
    started = Started(delivery.job_id, delivery.attempt, place, _watch(delivery).start())
    # With the same token the claim can be repeated, should only its answer have been lost.
    token = claim_token(delivery.worker, f"{_PROCESS}{next(_claims):x}")
    return ClaimRequest(started, token, delivery.pool, delivery.definition, encode(started))


def _watch(delivery: Delivery) -> Stopwatch:
    return Stopwatch(api.cpu_s, delivery.published_at, delivery.received_at, delivery.received_mono)


def place_of(delivery: Delivery) -> Place:
    """Return where the attempt runs, called where it does."""
    return Place(delivery.worker, os.getpid(), logs.thread_name(), api.greenlet_or_task())


def run(delivery: Delivery) -> tuple[Outcome, BaseException | None]:
    """Run an attempt that is claimed; return its outcome, and the exception by which the pool stopped it, if it did.

    That is `api.Interrupted`, in prefork SystemExit.
    """
    tokens = structlog.contextvars.bind_contextvars(**_log_context(delivery))
    try:
        with api.limited():
            outcome, stop = _run(delivery)
        _announce(outcome)
        return outcome, stop
    finally:
        if api.current_job() is None:  # a job of our pools has a context of its own, which ends with it
            structlog.contextvars.reset_contextvars(**tokens)


def run_here(delivery: Delivery) -> tuple[Started, Outcome]:
    """Run an attempt in this process, for tests, without claim or report; return its start and its outcome."""
    return claim_of(delivery).entry, _run(delivery)[0]


def note_refused(delivery: Delivery, answer: Claim) -> None:
    """Log why a message is dropped."""
    log.info("message dropped", reason=answer.value, **_log_context(delivery))


def _log_context(delivery: Delivery) -> dict[str, Any]:
    context = {
        "job": delivery.job_id,
        "attempt": delivery.attempt,
        "definition": delivery.definition,
        "pool": delivery.pool,
        "worker": delivery.worker,
        "request_id": delivery.request_id,
        "greenlet_or_task": api.greenlet_or_task(),
    }
    return {name: value for name, value in context.items() if value not in ("", None)}


def _run(delivery: Delivery) -> tuple[Outcome, BaseException | None]:
    watch = _watch(delivery)
    place = place_of(delivery)
    buffer = logs.LogBuffer(settings.JOB_LOG_MAX_LINES)
    outcome = Outcome(delivery.job_id, delivery.attempt, place, Timings(), Ending.SUCCEEDED)
    stop: api.Interrupted | SystemExit | None = None
    definition: Definition | None = None
    timings: Timings | None = None  # set once the body has ended, so that encoding its result does not count
    token = logs.attempt_log.set(buffer)
    probe: body_probe.BodyProbe | None = None
    watch.start()
    try:
        probe = body_probe.BodyProbe()
        definition = definitions.resolve(delivery.definition)
        buffer.secrets = definition.secret_values(delivery.params)
        value, offloaded = _call(definition, delivery, probe)
        timings = watch.stop()
        waits = probe.end(timings.cpu_s)
        # Set, since `replace` takes as long as all the rest of this function.
        outcome.timings, outcome.waits, outcome.offloaded = timings, waits, offloaded
        outcome.result = _as_json(definition, value)
    except BaseException as error:  # a body may raise anything, SystemExit and GreenletExit too
        timings = timings or watch.stop()
        outcome.waits = UNATTRIBUTED if probe is None else probe.end(timings.cpu_s)
        stop = error if isinstance(error, api.Interrupted) else prefork.exit_behind(error)
        if stop is None:
            outcome = _failed(outcome, error, definition, delivery.attempt, timings)
        else:
            outcome = _stopped(outcome, _why(stop), definition, timings)
            left_programs.end()
    finally:
        if stop is None:
            left_programs.name_in_log()
        logs.attempt_log.reset(token)
    outcome = _without_secrets(outcome, buffer.secrets) if buffer.secrets else outcome
    outcome.log, outcome.log_dropped = tuple(buffer.lines), buffer.dropped
    return outcome, stop


def _without_secrets(outcome: Outcome, secret_values: tuple[str, ...]) -> Outcome:
    """Return the outcome with dots in place of the values of secret parameters."""
    return replace(
        outcome,
        error=redacted(outcome.error, secret_values),
        traceback=redacted(outcome.traceback, secret_values),
        result=None if outcome.result is None else redacted_json(outcome.result, secret_values),
    )


def _call(definition: Definition, delivery: Delivery, probe: body_probe.BodyProbe) -> tuple[Any, bool]:
    """Run the sync or async body, as fits the pool; return its value and whether it was offloaded to a thread."""
    arguments = definition.call_arguments(dict(delivery.params))
    args: tuple[Any, ...] = ()
    if definition.takes_context:
        args = (AttemptContext(delivery.job_id, delivery.attempt, definition.name, delivery.pool),)
    on_loop = api.on_loop()
    if definition.async_body is not None and (on_loop or definition.body is None):
        probe.awaited()
        return api.run_coroutine(definition.async_body(*args, **arguments)), False
    assert definition.body is not None  # noqa: S101 - a definition has at least one body
    return api.run_sync(probe.around(definition.body), *args, **arguments), on_loop


def _as_json(definition: Definition, value: Any) -> str:
    try:
        text = definition.result_text(value)
        if "\\ud" in text:  # perhaps half a surrogate pair, which no page can show
            json.dumps(json.loads(text), ensure_ascii=False).encode()
    except Exception as error:  # encoding calls the value's own methods
        raise ResultRefused(
            f"The result of type {type(value).__name__} cannot be stored as JSON ({_text_of(error)}): "
            "return numbers, texts, lists, dictionaries, dates, dataclasses or pydantic models."
        ) from error
    if (size := len(text.encode())) > settings.JOB_RESULT_MAX_BYTES:
        raise ResultRefused(
            f"The result has {size} bytes; the limit is {settings.JOB_RESULT_MAX_BYTES} (JOB_RESULT_MAX_BYTES): "
            "store it elsewhere and return a reference."
        )
    return text


def _why(stop: api.Interrupted | SystemExit) -> api.Why:
    return stop.why if isinstance(stop, api.Interrupted) else prefork.why_of(stop)


def _stopped(outcome: Outcome, why: api.Why, definition: Definition | None, timings: Timings) -> Outcome:
    outcome = replace(outcome, timings=timings)
    limit_s = definition.time_limit_s if definition else None
    # prefork uses the same signal for a job past its limit and at shutdown.
    past_limit = limit_s is not None and (timings.run_s or 0.0) >= limit_s
    if why is api.Why.HARD or (why is api.Why.SHUTDOWN and past_limit):
        text = f"The time limit of {limit_s} s was exceeded."
        return replace(outcome, ending=Ending.FAILED, error_type="TimeLimitExceeded", error=text)
    if why is api.Why.SHUTDOWN:
        return replace(outcome, ending=Ending.RELEASED, error="The worker was shut down.")
    return replace(outcome, ending=Ending.CANCELLED, error_type="Cancelled", error="Cancelled while it ran.")


def _failed(
    outcome: Outcome, error: BaseException, definition: Definition | None, attempt: int, timings: Timings
) -> Outcome:
    text = _text_of(error)
    if isinstance(error, SoftTimeLimitExceeded) and definition is not None:
        text = f"The soft time limit of {definition.soft_time_limit_s} s was exceeded."
    return replace(
        outcome,
        ending=Ending.FAILED,
        timings=timings,
        error_type=type(error).__name__,
        error=text[:_MAX_ERROR_CHARS],
        traceback=_traceback_of(error)[-_MAX_TRACEBACK_CHARS:],
        retry_in_s=_retry_in_s(error, definition, attempt),
    )


def _retry_in_s(error: BaseException, definition: Definition | None, attempt: int) -> float | None:
    if definition is None or isinstance(error, PoolwiseError) or not isinstance(error, definition.retry_on):
        return None
    # Jitter over a doubling delay spreads the retries of one fault; the maximum keeps the hundredth attempt
    # within the range of a datetime.
    delay_s = min(definition.retry_delay_s * 2.0 ** (attempt - 1), _MAX_RETRY_DELAY_S)
    return delay_s * uniform(0.5, 1.0)  # noqa: S311 - no secret


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except BaseException as second:  # an exception's own text may raise
        return f"<the text of this {type(error).__name__} cannot be shown: {type(second).__name__}>"


def _traceback_of(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(error))
    except BaseException:  # the exception's repr or text raised; its frames are still worth having
        frames = "".join(traceback.format_tb(error.__traceback__))
        return f"Traceback (most recent call last):\n{frames}{type(error).__name__}: {_text_of(error)}\n"


def report(outcome: Outcome) -> None:
    """Report an outcome in the child of prefork that ran it, and wait until Redis has it."""
    pause_s = 0.05
    while True:
        try:
            exchange(worker_client(), [], [outcome])
            return
        except REDIS_ERRORS as error:
            log.warning("Redis is unavailable; retrying", error=str(error), pause_s=pause_s)
            time.sleep(pause_s)
            pause_s = min(pause_s * 2, _MAX_BACK_OFF_S)
        except SoftTimeLimitExceeded:
            continue  # prefork's limit is a signal, which may come after the body; the call can be repeated


def _announce(outcome: Outcome) -> None:
    timings = outcome.timings
    level = log.info if outcome.ending is Ending.SUCCEEDED else log.warning
    level(
        "job ended",
        ending=outcome.ending.value,
        run_s=timings.run_s,
        cpu_s=timings.cpu_s,
        caused_stall_s=outcome.waits.caused_stall_s or None,
        error=outcome.error or None,
    )
