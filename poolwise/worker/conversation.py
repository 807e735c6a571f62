"""The worker's conversation with Redis: one thread claims and reports for all slots, as much as there is in one call.

What comes while a call is under way goes with the next one. So the calls grow under load, and nothing waits without it.
"""

import time

# The C queue blocks a native thread even where gevent has replaced queue.SimpleQueue.
from _queue import Empty, SimpleQueue
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import redis
import structlog

from poolwise.lifecycle import stream
from poolwise.support import Client, connect, native_lock, original, start_native_thread

log = structlog.get_logger(__name__)
#: At most this many claims and reports go in one call, so that Redis serves others in between.
MOST_AT_ONCE = 64
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 2.0
#: Raised while Redis cannot be reached; any other error is about what was sent, or a Redis that is full.
_AWAY = (redis.ConnectionError, redis.TimeoutError, OSError)

type Answered = Callable[[stream.Claim | None], object]


@dataclass(slots=True, unsafe_hash=True)
class _Item:
    """A claim or a report, and what to call afterwards."""

    claim: stream.ClaimRequest | None
    report: stream.Entry | None
    then: Answered


class Conversation:
    """Makes the claims and reports of a worker in a thread of its own.

    `post` makes a call where the pool starts its jobs; any thread may call `claim` and `report`.
    """

    def __init__(self, post: Callable[[Callable[[], None]], object]) -> None:
        self._post = post
        self._items: SimpleQueue[_Item] = SimpleQueue()
        self._lock = native_lock()
        self._open = 0
        self._is_started = False
        #: Set when the worker ends: jobs claimed from then on must not begin.
        self.is_closing = False

    @property
    def is_settled(self) -> bool:
        """Return whether every claim is answered and every report has arrived."""
        return self._open == 0

    def claim(self, request: stream.ClaimRequest, then: Callable[[stream.Claim], object]) -> None:
        """Claim an attempt, then call `then` with the answer where jobs are started."""
        self._put(_Item(request, None, then))  # type: ignore[arg-type]

    def report(self, entry: stream.Entry, then: Callable[[], object]) -> None:
        """Report a start or an outcome, then make the call where jobs are started."""
        self._put(_Item(None, entry, lambda _: then()))

    def flush(self, timeout_s: float) -> None:
        """Wait until all is settled, at most `timeout_s`: the process ends."""
        until_mono = time.monotonic() + timeout_s
        while not self.is_settled and time.monotonic() < until_mono:
            time.sleep(0.01)

    def _put(self, item: _Item) -> None:
        with self._lock:
            self._open += 1
            is_first, self._is_started = not self._is_started, True
        self._items.put(item)
        if is_first:
            start_native_thread(self._run, "conversation")

    # --- in the thread

    def _run(self) -> None:
        client, pause_s = connect(timeout_s=5.0), _FIRST_PAUSE_S
        while True:
            refused = self._talk(client, self._taken())
            for item in refused:
                self._items.put(item)  # behind those that came meanwhile, which it must not keep back
            if refused:
                original("time", "sleep")(pause_s)
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S) if refused else _FIRST_PAUSE_S

    def _taken(self) -> list[_Item]:
        """Wait for an item, and return it with those that wait behind it."""
        items = [self._items.get()]
        try:
            while len(items) < MOST_AT_ONCE:
                items.append(self._items.get_nowait())
        except Empty:
            pass
        return items

    def _talk(self, client: Client, items: Sequence[_Item]) -> Sequence[_Item]:
        """Send the items, however long Redis is away; return those that could not be sent though it was there."""
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                return self._refused(client, items)
            except _AWAY as error:
                log.warning("Redis is unavailable; retrying", error=str(error), waiting=len(items))
            original("time", "sleep")(pause_s)
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

    def _refused(self, client: Client, items: Sequence[_Item]) -> Sequence[_Item]:
        """Send the items together; if that fails, each alone. Return those that fail alone. Raise if Redis is away."""
        try:
            self._exchange(client, items)
        except _AWAY:
            raise
        except Exception as error:  # whatever it is: without this thread no slot gets a job
            log.warning(
                "Redis refuses a call",
                error=repr(error),
                parts=len(items),
                exc_info=not isinstance(error, redis.RedisError),
            )
            return [item for item in items if self._fails(client, item)] if len(items) > 1 else items
        return ()

    def _fails(self, client: Client, item: _Item) -> bool:
        """Send an item alone; return whether that failed, also because Redis is away now: the others are answered."""
        try:
            self._exchange(client, [item])
        except Exception:
            return True
        return False

    def _exchange(self, client: Client, items: Sequence[_Item]) -> None:
        claims = [item.claim for item in items if item.claim is not None]
        reports = [item.report for item in items if item.report is not None]
        answers = iter(stream.exchange(client, claims, reports))
        calls = [partial(item.then, None if item.claim is None else next(answers)) for item in items]
        self._post(partial(self._make, calls))

    def _make(self, calls: Sequence[Callable[[], Any]]) -> None:
        for call in calls:
            try:
                call()
            except Exception:  # the other slots need theirs all the same
                log.critical("could not settle a job", exc_info=True)
        with self._lock:
            self._open -= len(calls)
