"""One Celery request in a pool: waiting → running → ended, in a thread, a greenlet or an asyncio task."""

import logging
import math
import threading
import time
from collections.abc import Callable
from contextvars import ContextVar
from enum import Enum, auto
from functools import partial
from typing import Any

from billiard.einfo import ExceptionInfo

from poolwise.metering import METER, Meter, programs
from poolwise.pools.api_types import AttemptNote, Cancellable, PoolProtocol
from poolwise.pools.identity import IDENTITY
from poolwise.pools.interrupts import (
    FINAL,
    HardStop,
    Interrupted,
    Reach,
    Why,
    call_in_thread,
    exception_for,
)
from poolwise.support import kill_all, native_lock, original

_native_ident = original("_thread", "get_ident")
logger = logging.getLogger("celery.pool")

#: The current job; its child tasks and offloaded calls inherit it.
CURRENT: ContextVar["PoolRequest | None"] = ContextVar("poolwise_job", default=None)

#: A body that swallows a final interrupt gets it again after INSIST_S, at most INSIST_TIMES; then it is given up.
INSIST_S = 0.8
INSIST_TIMES = 3

type Callback = Callable[..., Any]
type Admit = Callable[["PoolRequest"], object]


class BodyPart:
    """A part of a job, and how to interrupt it; without `reach`, interrupts wait until it ends."""

    __slots__ = ("reach",)

    def __init__(self, reach: Reach | None) -> None:
        self.reach = reach


class RequestState(Enum):
    """The state of a job in its pool."""

    WAITING = auto()
    RUNNING = auto()
    ENDED = auto()


def _nothing(*_: Any) -> None:
    pass


class PoolRequest:
    """Runs one request; its end calls one of success, error and timeout, or none after a revocation or shutdown."""

    def __init__(
        self, pool: "PoolProtocol[PoolRequest]", number: int, target: Callable[[], Any], accept: Callback | None = None,
        success: Callback | None = None, error: Callback | None = None, timeout: Callback | None = None,
        soft_s: float | None = None, hard_s: float | None = None, admit: "Admit | None" = None,
        unbegun: Callback | None = None,
    ) -> None:  # fmt: skip
        self.pool, self.number, self.target = pool, number, target
        self.accept, self.success = accept or _nothing, success or _nothing
        self.error, self.timeout = error or _nothing, timeout or _nothing
        self.soft_s, self.hard_s = soft_s, hard_s
        #: Called in place of the launch once a slot is free: it launches the job itself, or drops it.
        self.admit = admit
        #: Called if the job is launched and then does not begin.
        self.unbegun = unbegun or _nothing
        #: The monotonic time at which the hard limit expires.
        self.deadline_mono = math.inf
        self.state = RequestState.WAITING
        self.why: Why | None = None
        self.pending: Why | None = None
        self._parts: list[BodyPart] = []
        self.meter = Meter()
        #: The key of Celery's stacks. Not a greenlet, as in Celery: a reference to the main greenlet of an ended thread
        #: makes greenlet search all objects for its holders, and free it while in use if it finds none.
        self.identity = object()
        self.abandoned = False
        #: The job among the attempts that the watchdog watches.
        self.note: AttemptNote | None = None
        #: Lets another job have database connections; see `database_places`.
        self.give_back_place: Callable[[], None] = _nothing
        self._insisted = 0
        self._timers: list[Cancellable] = []
        self._lock = native_lock()

    @property
    def name(self) -> str:
        """Return the name of the job's greenlet or task."""
        return f"job-{self.number}"

    @property
    def reach(self) -> Reach | None:
        """Return how to interrupt the job now. Parts nest, but those of child tasks may end in any order."""
        return self._parts[-1].reach if self._parts else None

    @property
    def in_body(self) -> bool:
        """Return whether an interrupt would reach the body now."""
        return self.reach is not None

    def terminate(self, _signal: object = None) -> None:
        """Do nothing: `Request.terminate` calls this beside the pool's `terminate_job`."""

    def begin_turns(self) -> None:
        """Note from now on which thread runs the job."""
        self.meter.on_turn = self.run_here
        self.run_here()

    def end_turns(self) -> None:
        """End what `begin_turns` began."""
        self.meter.on_turn = None  # without a reference to the job

    def run_here(self) -> None:
        """Note that the calling thread runs the job from now on."""
        if self.note is not None:
            self.note.run_on(_native_ident())

    # --- the run, in the job's own context

    def run(self) -> None:
        """Run the job from its start to its end."""
        self.adopt_context()
        try:
            if self._begin():
                self._settle()
            else:
                self.unbegun()
        except BaseException:  # a callback of Celery failed; the slot must be freed all the same
            logger.critical("The pool could not settle %s", self.name, exc_info=True)
        finally:
            self._end()

    def drop(self) -> None:
        """End the job before it begins."""
        if self.note is not None:
            self.note.remove()
        self._end()

    def adopt_context(self) -> None:
        """Make this the current job of the context."""
        CURRENT.set(self)
        METER.set(self.meter)
        IDENTITY.set(self.identity)

    def _begin(self) -> bool:
        request = getattr(self.accept, "__self__", None)
        if request is not None and request.revoked():
            return False
        self.accept(self.number, time.monotonic())
        if self.pending is not None:  # it was revoked before it was accepted
            self._announce_revoked(begun=False)
            return False
        self.state = RequestState.RUNNING
        if self.hard_s:
            self.deadline_mono = time.monotonic() + self.hard_s
        for limit_s, why in ((self.soft_s, Why.SOFT), (self.hard_s, Why.HARD)):
            if limit_s:
                self._timers.append(self.pool.call_later(limit_s, partial(self.interrupt, why)))
        return True

    def _settle(self) -> None:
        try:
            value = self.target()
        except HardStop:
            self._announce(self.timeout, False, self.hard_s)
        except Interrupted:
            self._announce(partial(self._announce_revoked, begun=True))
        except BaseException:
            self._announce(self.error, ExceptionInfo())
        else:
            # A limit or revocation that came too late changes nothing.
            self._announce(_nothing if self._is_announced else self.success, value)

    @property
    def _is_announced(self) -> bool:
        """Return whether Celery has announced a revocation already, which it may do before the body has ended."""
        return bool(getattr(getattr(self.accept, "__self__", None), "_already_revoked", False))

    def _announce_revoked(self, *, begun: bool) -> None:
        request = getattr(self.accept, "__self__", None)
        is_revoked = Why.REVOKED in (self.why, self.pending)
        if is_revoked and request is not None and not self._is_announced:
            request._announce_revoked("terminated" if begun else "revoked", begun, None, False)

    def _announce(self, callback: Callable[..., Any], *args: Any) -> None:
        if self._claim_end():
            callback(*args)

    def _claim_end(self) -> bool:
        with self._lock:
            is_first, self.state = self.state is not RequestState.ENDED, RequestState.ENDED
        return is_first

    def _end(self) -> None:
        self._claim_end()
        self.give_back_place()
        for timer in self._timers:
            timer.cancel()
        self.pool.finished(self)

    # --- interrupts, from outside

    def interrupt(self, why: Why) -> None:
        """Interrupt the body, at once or as soon as it runs."""
        with self._lock:
            if self.state is RequestState.ENDED or not self._outranks(why):
                return
            self.pending, self._insisted = why, 0
        if why is Why.SOFT:
            self.timeout(True, self.soft_s)
        self.pool.reach_out(self)

    def _outranks(self, why: Why) -> bool:
        # A job that ignores its revocation still has its time limit.
        final = self.pending if self.pending in FINAL else self.why
        return final not in FINAL or (final is Why.REVOKED and why is Why.HARD)

    def deliver(self) -> None:
        """Hand a pending interrupt to the body, if one runs."""
        with self._lock:
            reach, why = self.reach, self.pending
            if reach is None or why is None or self.state is RequestState.ENDED:
                return
            self.why, self.pending = why, None
        if why in FINAL:
            self._timers.append(self.pool.call_later(INSIST_S, self._insist))
            # Found before the body may end its program, and ended after it knows why.
            started = programs.families(self.meter)
            reach(why)
            kill_all(started)
        else:
            reach(why)

    def _insist(self) -> None:
        with self._lock:
            if self.state is RequestState.ENDED:
                return
            in_body = self.reach is not None
            if in_body:
                self._insisted += 1
                self.pending = self.why
        if self._insisted >= INSIST_TIMES:
            self._give_up()
        elif in_body:
            self.pool.reach_out(self)
        else:  # it is just reporting its end
            self._timers.append(self.pool.call_later(INSIST_S, self._insist))

    def _give_up(self) -> None:
        # After a revocation it keeps its slot, which it still uses; its time limit or its end frees it.
        if self.why is not Why.REVOKED:
            self._abandon()

    def _abandon(self) -> None:
        with self._lock:
            if self.state is RequestState.ENDED:
                return
            self.state, self.abandoned = RequestState.ENDED, True
        if self.note is not None:
            self.note.remove()
        logger.error(
            "%s ignores its end (%s): its slot is freed, though it may still run", self.name, self.why
        )
        if self.why is Why.HARD:
            self.pool.detach(lambda: self.timeout(False, self.hard_s))
        self.pool.finished(self)
        self.pool.given_up(self)

    # --- the body, from inside

    def enter(self, reach: Reach | None) -> BodyPart:
        """Begin a part of the job. Raise a pending interrupt if the part can be interrupted."""
        with self._lock:
            if reach is not None and self.pending is not None:
                self.why, self.pending = self.pending, None
            elif reach is None or self.why not in FINAL:
                self._parts.append(part := BodyPart(reach))
                return part
            why = self.why
        raise exception_for(why or Why.HARD)()

    def leave(self, part: BodyPart) -> None:
        """End the part; an interrupt that came meanwhile goes to the enclosing part."""
        with self._lock:
            self._parts.remove(part)
        if self.pending is not None and self.in_body:
            self.pool.reach_out(self)

    def call(self, reach: Reach, call: Callable[[], Any]) -> Any:
        """Return `call()`, a part of the body that `reach` can interrupt."""
        part = self.enter(reach)
        try:
            return call()
        finally:
            self.leave(part)

    def call_shielded(self, call: Callable[[], Any]) -> Any:
        """Return `call()`, during which interrupts wait."""
        part = self.enter(None)
        try:
            return call()
        finally:
            self.leave(part)

    def call_in_thread(self, call: Callable[[], Any]) -> Any:
        """Return `call()`, a part of the body that exceptions raised in this thread can interrupt."""
        parts: list[BodyPart] = []
        self.run_here()
        try:
            return call_in_thread(lambda reach: parts.append(self.enter(reach)), call)
        finally:
            for part in parts:
                self.leave(part)

    def sleep_in_thread(self, seconds: float) -> None:
        """Block this thread, and only this job; an interrupt ends the sleep at once."""
        if not self.in_body:
            time.sleep(seconds)
            return
        woken = threading.Event()
        if self.call(lambda why: woken.set(), lambda: woken.wait(seconds)):
            raise exception_for(self.why or Why.HARD)()
