"""The asyncio pool: many jobs on the thread of one event loop.

Celery's synchronous tracer runs unchanged, in one greenlet per job, on the loop's thread. The greenlet also drives the
job's coroutine, so that to the tracer it is a call that returns or raises.
"""

import asyncio
import contextvars
import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from celery.platforms import EX_FAILURE
from celery.worker import state

from poolwise.metering import LagProbe, Meter, Stalls
from poolwise.pools.api_types import Cancellable
from poolwise.pools.base import JobPool
from poolwise.pools.connections import with_own_connections
from poolwise.pools.coroutines import CoroutineBody
from poolwise.pools.job_greenlet import GreenletSteps, await_, on_loop
from poolwise.pools.loop import JobLoop
from poolwise.pools.request import PoolRequest
from poolwise.pools.spec import SYNC_THREADS
from poolwise.support import DaemonThreads

logger = logging.getLogger("celery.pool")

#: Threads for the platform's own blocking calls (reports, results).
BLOCKING_THREADS = 8
_STOP_S = 5.0


async def _await_steps(steps: GreenletSteps) -> None:
    await steps


class TaskPool(JobPool):
    """One thread with an event loop; one greenlet and one asyncio task per job."""

    task_join_will_block = True  # `.get()` inside a job would block the loop that it waits for

    def on_start(self) -> None:
        """Start the loop's thread."""
        super().on_start()
        self._probe = LagProbe()
        self.stalls = Stalls(self.meters)
        self._blocking, self._sync = DaemonThreads(BLOCKING_THREADS), DaemonThreads(SYNC_THREADS)
        self._tasks: set[asyncio.Task[None]] = set()
        up = threading.Event()
        self._thread = threading.Thread(target=self._run_loop, args=(up,), name="asyncio-pool", daemon=True)
        self._thread.start()
        up.wait()

    def _new_loop(self) -> JobLoop:
        loop = JobLoop()
        loop.stints = self.stalls
        return loop

    def _run_loop(self, up: threading.Event) -> None:
        try:
            with asyncio.Runner(loop_factory=self._new_loop) as runner:
                self._loop = runner.get_loop()
                self._stopped = asyncio.Event()
                runner.run(self._live(up))
        except BaseException:
            # Without its loop the worker is useless; it ends, so that its supervisor starts another.
            logger.critical("The event loop of the asyncio pool ended; the worker ends too", exc_info=True)
            worker_state: Any = state
            worker_state.should_stop = EX_FAILURE
            if self.hub is not None:
                self.hub.call_soon(bool)

    @property
    def is_alive(self) -> bool:
        """Return whether the loop runs."""
        return self._thread.is_alive()

    async def _live(self, up: threading.Event) -> None:
        up.set()
        self._probe.woke()
        self._loop.call_later(LagProbe.PERIOD_S, self._probe_lag)
        await self._stopped.wait()

    def _probe_lag(self) -> None:
        assert self.stalls is not None  # noqa: S101 - on_start sets it
        self._loop.call_later(
            LagProbe.PERIOD_S, self._probe_lag
        )  # a sleeping task would cost ten times as much
        self.stalls.tick(self._probe.woke())

    def on_stop(self) -> None:
        """Shut down warmly, then end the loop."""
        super().on_stop()
        if self.is_alive:
            self.post(self._stopped.set)
            self._thread.join(_STOP_S)

    # --- jobs

    def post(self, call: Callable[..., None], *args: Any) -> None:
        """Make the call on the loop's thread; at once if the caller is on it."""
        if threading.get_ident() == self._thread.ident:
            call(*args)
        else:
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(call, *args)

    def launch(self, job: PoolRequest) -> None:
        """Start a greenlet and a task for the job."""
        self._start_task(job.run, job.meter, job.name)

    def detach(self, call: Callable[[], None]) -> None:
        """Make the call in a separate greenlet."""
        self._start_task(call, Meter(), "abandoned")

    def _start_task(self, call: Callable[[], None], meter: Meter, name: str) -> None:
        # Not by the loop's factory, since GreenletSteps counts the steps; nor in the context of another job.
        assert self.stalls is not None  # noqa: S101 - on_start sets it
        steps = _await_steps(GreenletSteps(call, meter, self.stalls))
        task = asyncio.Task(steps, loop=self._loop, name=name, context=contextvars.Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def reach_out(self, job: PoolRequest) -> None:
        """Interrupt on the loop's thread."""
        self.post(job.deliver)

    def call_later(self, delay_s: float, call: Callable[[], None]) -> Cancellable:
        """Make the call after a delay, unless it is cancelled; on the loop's thread only."""
        return self._loop.call_later(delay_s, call)

    # --- bodies

    def on_loop(self) -> bool:
        """Return whether the caller is a job's greenlet on the loop."""
        return on_loop()

    def run_coroutine(self, job: PoolRequest, coro: Any) -> Any:
        """Await the coroutine on the loop."""
        body = CoroutineBody(coro)
        try:
            return job.call(body.cancel, lambda: await_(body.run()))
        finally:
            body.close()

    def run_sync(self, job: PoolRequest, call: Callable[[], Any]) -> Any:
        """Call the body in a thread, in the job's context; afterwards drop its database connections."""
        if not on_loop():
            return job.call_in_thread(call)
        return self._in_thread(self._sync, partial(with_own_connections, job.call_in_thread, call))

    def offload(self, job: PoolRequest, call: Callable[[], Any]) -> Any:
        """Make a blocking call of the platform in a thread; interrupts wait until it ends."""
        if not on_loop():
            return job.call_shielded(call)
        return job.call_shielded(lambda: self._in_thread(self._blocking, call))

    def _in_thread(self, threads: DaemonThreads, call: Callable[[], Any]) -> Any:
        context = contextvars.copy_context()
        return await_(asyncio.shield(self._loop.run_in_executor(threads, context.run, call)))

    def sleep(self, job: PoolRequest, seconds: float) -> None:
        """Let the job's task sleep."""
        if not on_loop():
            job.sleep_in_thread(seconds)
        elif job.in_body:
            self.run_coroutine(job, asyncio.sleep(seconds))
        else:
            await_(asyncio.sleep(seconds))

    def cpu_s(self, job: PoolRequest) -> float:
        """Return the CPU seconds of the job's steps, child tasks, offloaded calls, threads and programs."""
        return job.meter.loop_s()

    def loop_lag_s(self) -> tuple[float, float]:
        """Return the loop's lag in seconds."""
        return self._probe.read()
