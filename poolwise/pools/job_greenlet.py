"""The greenlet of a job on an event loop: synchronous code in it awaits, and an asyncio task runs its steps."""

import inspect
import time
from collections.abc import Callable, Generator
from typing import Any

import greenlet

from poolwise.metering import Meter, Stalls


class JobGreenlet(greenlet.greenlet):
    """The greenlet that runs the tracer and the coroutine of one job."""


def on_loop() -> bool:
    """Return whether the caller runs in a job's greenlet on the loop."""
    return isinstance(greenlet.getcurrent(), JobGreenlet)


def await_(awaitable: Any) -> Any:
    """Await from synchronous code in a JobGreenlet: its asyncio task waits while the loop goes on."""
    steps = awaitable if inspect.iscoroutine(awaitable) else awaitable.__await__()
    to_task = greenlet.getcurrent().parent.switch
    try:
        waits_for = steps.send(None)
        while True:
            try:
                value = to_task(waits_for)
            except BaseException as error:
                waits_for = steps.throw(error)
            else:
                waits_for = steps.send(value)
    except StopIteration as stop:
        return stop.value


class GreenletSteps:
    """An awaitable for the asyncio task of a job: it runs the steps of the job's greenlet."""

    def __init__(self, call: Callable[[], None], meter: Meter, stalls: Stalls) -> None:
        self._call, self._meter, self._stalls = call, meter, stalls

    def __await__(self) -> Generator[Any, Any, None]:
        job_greenlet = JobGreenlet(self._call)
        # The greenlet shares the context of the task, so that child tasks inherit what the coroutine sets there.
        job_greenlet.gr_context = greenlet.getcurrent().gr_context
        meter, stalls, clock = self._meter, self._stalls, time.thread_time
        step: Callable[..., Any] = job_greenlet.switch
        argument: tuple[Any, ...] = ()
        while True:
            meter.since = start = clock()
            if meter.on_turn is not None:
                meter.on_turn()
            stalls.begin(start)
            try:
                waits_for = step(*argument)
            finally:
                meter.since = None
                meter.steps_s += (end := clock()) - start
                stalls.over(meter, end)
            if job_greenlet.dead:
                return
            try:
                step, argument = job_greenlet.switch, ((yield waits_for),)
            except BaseException as error:
                # Three arguments: given the exception alone, greenlet would drop its traceback.
                step, argument = job_greenlet.throw, (type(error), error, error.__traceback__)
