"""Run one attempt in the caller's thread, with the claim and the report that a worker makes."""

from functools import cache
from queue import SimpleQueue
from typing import Any

from django.conf import settings

from poolwise.lifecycle import execution, stream
from poolwise.pools import api
from poolwise.worker.conversation import Conversation

_WITHIN_S = 60.0


@cache
def _conversation_with(url: str) -> Conversation:
    return Conversation(lambda call: call())


def conversation() -> Conversation:
    """Return a conversation with the Redis of the settings; its answers come in a thread of its own."""
    return _conversation_with(settings.REDIS_URL)


def execute(delivery: execution.Delivery) -> stream.Outcome | None:
    """Claim, run and report a delivered attempt; return its outcome, or None if the claim was refused.

    If the pool stopped the attempt, raise its exception after the report.
    """
    answers: SimpleQueue[Any] = SimpleQueue()
    conversation().claim(execution.claim_of(delivery, api.greenlet_or_task()), answers.put)
    if answers.get(timeout=_WITHIN_S) is not stream.Claim.CLAIMED:
        return None
    outcome, stop = execution.run(delivery)
    conversation().report(outcome, lambda: answers.put(None))
    answers.get(timeout=_WITHIN_S)
    if stop is not None:
        raise stop
    return outcome
