"""The event loop for coroutines: it counts CPU time per job and never delays the exit of the process."""

import asyncio
import contextvars
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from concurrent.futures import Executor, ProcessPoolExecutor
from typing import Any

from poolwise.metering import METER, Meter, Stints
from poolwise.pools import prefork
from poolwise.pools.connections import with_own_connections, with_working_connections
from poolwise.pools.interrupts import ChildExited
from poolwise.pools.job_thread import JobThread
from poolwise.support import DaemonThreads

#: Called with each task that a body starts, so that it ends with the job.
ADOPT: contextvars.ContextVar[Callable[[asyncio.Task[Any]], None] | None] = contextvars.ContextVar(
    "poolwise_adopt", default=None
)
MAX_TO_THREAD = 32
_clock = time.thread_time


class MeteredCoroutine(Coroutine[Any, Any, Any]):
    """A coroutine whose steps are charged to a job."""

    __slots__ = ("__name__", "__qualname__", "_meter", "_send", "_stints", "_throw", "wrapped")

    def __init__(self, wrapped: Any, meter: Meter, stints: Stints | None = None) -> None:
        self.wrapped, self._meter, self._stints = wrapped, meter, stints
        self._send, self._throw = wrapped.send, wrapped.throw
        self.__name__ = getattr(wrapped, "__name__", "coroutine")
        self.__qualname__ = getattr(wrapped, "__qualname__", "coroutine")

    def send(self, value: Any) -> Any:
        """Take one step."""
        return self._step(self._send, value)

    def throw(self, *exception: Any) -> Any:
        """Take one step that begins with an exception."""
        return self._step(self._throw, *exception)

    def _step(self, step: Callable[..., Any], *args: Any) -> Any:
        meter = self._meter
        if meter.since is not None:  # an eager task: its step is a part of one that is counted already
            return step(*args)
        meter.since = start = _clock()
        if meter.on_turn is not None:
            meter.on_turn()
        if self._stints is not None:
            self._stints.begin(start)
        try:
            return step(*args)
        except (SystemExit, KeyboardInterrupt) as error:  # it would end the loop, and so every job
            if prefork.is_ending():
                raise  # the process of this one job ends
            raise ChildExited() from error
        finally:
            meter.since = None
            meter.steps_s += (end := _clock()) - start
            if self._stints is not None:
                self._stints.over(meter, end)

    def close(self) -> None:
        """Close the coroutine."""
        self.wrapped.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        return (yield from self.wrapped.__await__())

    def __getattr__(self, name: str) -> Any:
        # inspect, anyio and the debug mode of asyncio read cr_await, cr_frame, cr_running and more.
        if name.startswith("cr_"):
            return getattr(self.wrapped, name)
        raise AttributeError(name)


def _make_task(loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> asyncio.Task[Any]:
    meter = METER.get()
    if meter is not None:
        coro = MeteredCoroutine(coro, meter, getattr(loop, "stints", None))
    task = asyncio.Task(coro, loop=loop, **options)
    adopt = ADOPT.get()
    if adopt is not None:
        adopt(task)
    return task


class _NoMoreSteps(deque[Any]):
    """The steps of a loop that a forked process must not go on with: they are its parent's."""

    def __len__(self) -> int:
        print(  # noqa: T201
            "A forked process cannot await on the loop of its parent: it ends. Run its coroutines by asyncio.run.",
            file=sys.stderr,
            flush=True,
        )
        os._exit(1)

    def popleft(self) -> Any:
        return len(self)


class JobLoop(asyncio.SelectorEventLoop):
    """An event loop that charges child tasks and executor calls to the job that started them."""

    #: Observes how long each coroutine keeps the loop, if many jobs share it.
    stints: Stints | None = None

    def __init__(self, selector: Any = None) -> None:
        super().__init__(selector)
        self.set_task_factory(_make_task)
        self._to_thread = DaemonThreads(MAX_TO_THREAD)

    def run_in_executor(  # type: ignore[override]
        self, executor: Executor | None, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """Call `func` in a thread; the default threads never delay the exit of the process."""
        meter = METER.get()
        if meter is not None and not isinstance(executor, ProcessPoolExecutor):
            func, args = meter.call, (*_connections_of(executor, meter), func, *args)
        return super().run_in_executor(executor or self._to_thread, func, *args)

    def end_with_step(self) -> None:
        """End this forked process where the present step ends."""
        self._ready = _NoMoreSteps()


def _connections_of(executor: Executor | None, job: Meter) -> tuple[Any, ...]:
    """Return what to call a function by in a thread of the executor, and the arguments before the function."""
    if executor is None:
        return (with_own_connections,)
    return () if isinstance(executor, JobThread) else (with_working_connections, job)
