"""An event loop in a native thread beside gevent's hub, for bodies that are coroutines."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any
from weakref import WeakKeyDictionary

import gevent
from gevent.event import Event

from poolwise.pools.coroutines import CoroutineBody
from poolwise.pools.gevent_forks import NO_PROCESSES
from poolwise.pools.loop import JobLoop
from poolwise.support import DaemonThreads, original


class BesideHub(JobLoop):
    """A loop in a process patched by gevent, where the threads of an executor are greenlets, which need a hub."""

    def __init__(self) -> None:
        # The patched selector would wait in a hub of this thread.
        super().__init__(original("selectors", "DefaultSelector")())
        self._native: WeakKeyDictionary[Executor, DaemonThreads] = WeakKeyDictionary()

    def run_in_executor(  # type: ignore[override]
        self, executor: Executor | None, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """Call `func` in a native thread, with as many threads as the executor has: that of asgiref has one."""
        if isinstance(executor, ThreadPoolExecutor):
            executor = self._native.setdefault(executor, DaemonThreads(executor._max_workers))
        return super().run_in_executor(executor, func, *args)

    async def subprocess_exec(self, *args: Any, **options: Any) -> Any:
        """Raise NotImplementedError: gevent reaps child processes in its hub."""
        raise NotImplementedError(NO_PROCESSES)

    async def subprocess_shell(self, *args: Any, **options: Any) -> Any:
        """Raise NotImplementedError: gevent reaps child processes in its hub."""
        raise NotImplementedError(NO_PROCESSES)


class LoopThread:
    """One native thread with a loop for the coroutines of all jobs; it starts with the first one."""

    def __init__(self) -> None:
        self._loop: JobLoop | None = None

    def run(self, body: CoroutineBody) -> Any:
        """Run the body and return its result; only the calling greenlet waits."""
        loop = self._started()
        done, waker = Event(), gevent.get_hub().loop.async_()
        waker.start(done.set)
        outcome: list[Any] = []

        async def run_body() -> None:
            try:
                outcome.append((await body.run(), None))
            except BaseException as error:
                outcome.append((None, error))
            finally:
                waker.send()

        loop.call_soon_threadsafe(lambda: loop.create_task(run_body()))
        try:
            done.wait()
        finally:
            waker.stop()
            waker.close()
        value, error = outcome[0]
        if error is not None:
            raise error
        return value

    def _started(self) -> JobLoop:
        if self._loop is None:
            self._loop = BesideHub()
            original("_thread", "start_new_thread")(self._loop.run_forever, ())
        return self._loop
