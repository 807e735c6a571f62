"""Coroutine bodies, interrupted at their `await`; they run on a thread's own loop or on the loop of a pool."""

import asyncio
import contextlib
import contextvars
import inspect
import os
import signal
import threading
import time
from collections.abc import Awaitable, Generator, Iterator
from types import FrameType
from typing import Any

from celery.exceptions import SoftTimeLimitExceeded

from poolwise.pools import forked, prefork
from poolwise.pools.interrupts import FINAL, BodyCancelled, Why, exception_for
from poolwise.pools.job_thread import JobThread, assign
from poolwise.pools.loop import ADOPT, JobLoop

STRAY_GRACE_S = 1.0
_local = threading.local()


class SoftCancelled(SoftTimeLimitExceeded, asyncio.CancelledError):
    """The soft limit at an `await`; it is also a cancellation, as task groups and scopes expect."""


class CoroutineBody:
    """A coroutine that can be interrupted at an `await`; at its end, the tasks that it left behind are cancelled.

    Its synchronous parts have a thread of their own, with database connections of its own.
    """

    def __init__(self, awaitable: Awaitable[Any]) -> None:
        self._steps: Any = awaitable if inspect.iscoroutine(awaitable) else awaitable.__await__()
        self._why: Why | None = None
        self._task: asyncio.Task[Any] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._children: set[asyncio.Task[Any]] = set()
        self._thread = JobThread()

    def close(self) -> None:
        """Close a body that never began, so that Python does not warn."""
        if self._loop is None:
            self._steps.close()

    def cancel(self, why: Why) -> None:
        """Interrupt the body; call it on its loop's thread."""
        self._why = why
        if self._task is not None:
            self._task.cancel()

    def interrupt(self, why: Why) -> None:
        """Interrupt the body from any thread."""
        self._why = why  # read by `run` if it has not begun
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: the body has ended
                self._loop.call_soon_threadsafe(self.cancel, why)

    async def run(self) -> Any:
        """Return what the coroutine returns. Raise SoftTimeLimitExceeded, Interrupted or BodyCancelled."""
        self._task, self._loop = asyncio.current_task(), asyncio.get_running_loop()
        token, thread = ADOPT.set(self._adopt), assign(self._thread)
        try:
            value = await _Stepwise(self)
        except SoftCancelled as error:
            await self._end_parts()
            raise SoftTimeLimitExceeded(*error.args).with_traceback(error.__traceback__) from None
        except asyncio.CancelledError as error:
            raise (await self._cancelled()) from error
        except (Exception, SystemExit, KeyboardInterrupt) as error:
            if isinstance(error, Exception) or not prefork.is_ending():
                await self._end_parts()
            raise
        finally:
            self._task = None
            ADOPT.reset(token)
            thread.var.reset(thread)
        await self._end_parts()
        return value

    def steps(self) -> Generator[Any, Any, Any]:
        """Drive the coroutine; turn the cancellation of a soft limit into an exception that the body may catch."""
        step, argument = self._steps.send, None
        if self._why is not None:
            step, argument = self._steps.throw, self._exception()
        pid = os.getpid()
        while True:
            try:
                waits_for = step(argument)
            except StopIteration as stop:
                forked.end_if_forked(pid)
                return stop.value
            except BaseException as error:
                forked.end_if_forked(pid, error)
                raise
            try:
                step, argument = self._steps.send, (yield waits_for)
            except asyncio.CancelledError as error:
                step, argument = self._steps.throw, self._exception() or error
            except BaseException as error:
                step, argument = self._steps.throw, error

    def _exception(self) -> BaseException | None:
        if self._why is not Why.SOFT:
            return asyncio.CancelledError() if self._why else None
        self._why = None
        _uncancel(self._task)
        return SoftCancelled()

    async def _cancelled(self) -> BaseException:
        _uncancel(self._task)
        await self._end_parts()
        return exception_for(self._why)() if self._why in FINAL else BodyCancelled()

    def _adopt(self, child: asyncio.Task[Any]) -> None:
        self._children.add(child)
        child.add_done_callback(self._children.discard)

    async def _end_parts(self) -> None:
        until = time.monotonic() + STRAY_GRACE_S
        for child in (strays := tuple(self._children)):
            child.cancel()
        if strays:
            await asyncio.wait(strays, timeout=STRAY_GRACE_S)
        if (ended := self._thread.end()) is not None:  # its connections are dropped
            await asyncio.wait({asyncio.wrap_future(ended)}, timeout=max(0.0, until - time.monotonic()))


class _Stepwise:
    def __init__(self, body: CoroutineBody) -> None:
        self._body = body

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._body.steps()


def _uncancel(task: asyncio.Task[Any] | None) -> None:
    while task is not None and task.cancelling():
        task.uncancel()


def run_in_this_thread(body: CoroutineBody) -> Any:
    """Run the body on the private loop of this thread, which is kept between jobs."""
    runner = getattr(_local, "runner", None)
    if runner is None:
        runner = _local.runner = asyncio.Runner(loop_factory=JobLoop)
    try:
        with _soft_limit_by_signal(body):
            value, error = runner.run(_outcome(body), context=contextvars.copy_context())
    except (
        SystemExit,
        KeyboardInterrupt,
    ):  # a signal's end the loop at once: closing it lets the body clean up
        del _local.runner
        runner.close()
        raise
    if error is not None:
        raise error
    return value


async def _outcome(body: CoroutineBody) -> tuple[Any, BaseException | None]:
    try:
        return await body.run(), None
    except (SystemExit, KeyboardInterrupt) as error:
        if prefork.is_ending():
            raise
        return None, error  # the body's own; raised in the task, it would end the loop


@contextlib.contextmanager
def _soft_limit_by_signal(body: CoroutineBody) -> Iterator[None]:
    """Make prefork's soft limit, a signal, cancel the task instead of raising inside the loop."""
    from billiard.pool import SIG_SOFT_TIMEOUT, soft_timeout_sighandler

    if SIG_SOFT_TIMEOUT is None or signal.getsignal(SIG_SOFT_TIMEOUT) is not soft_timeout_sighandler:
        yield
        return

    def on_signal(_signum: int, _frame: FrameType | None) -> None:
        body.interrupt(Why.SOFT)

    signal.signal(SIG_SOFT_TIMEOUT, on_signal)
    try:
        yield
    finally:
        signal.signal(SIG_SOFT_TIMEOUT, soft_timeout_sighandler)
