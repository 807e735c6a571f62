"""An event loop in a native thread beside gevent's hub, for bodies that exist only as a coroutine."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any
from weakref import WeakKeyDictionary

import gevent
from gevent.event import Event

from poolwise.pools.coroutines import CoroutineBody
from poolwise.pools.loop import JobLoop
from poolwise.support import DaemonThreads, original

_NO_SUBPROCESSES = (
    "asyncio cannot start processes beside gevent's hub: run the job on asyncio, threads or prefork, or use subprocess "
    "in a plain function"
)


class BesideHub(JobLoop):
    """A loop in a process whose threads gevent has made greenlets: those of an executor would wait for a hub here."""

    def __init__(self) -> None:
        # gevent's own selector would wait in a hub of that thread.
        super().__init__(original("selectors", "DefaultSelector")())
        self._native: WeakKeyDictionary[Executor, DaemonThreads] = WeakKeyDictionary()

    def run_in_executor(  # type: ignore[override]
        self, executor: Executor | None, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """Call `func` in a native thread, as many at once as the executor has: asgiref brings one with one thread."""
        if isinstance(executor, ThreadPoolExecutor):
            executor = self._native.setdefault(executor, DaemonThreads(executor._max_workers))
        return super().run_in_executor(executor, func, *args)

    async def subprocess_exec(self, *args: Any, **options: Any) -> Any:
        """Raise NotImplementedError: gevent reaps a process' children in its hub."""
        raise NotImplementedError(_NO_SUBPROCESSES)

    async def subprocess_shell(self, *args: Any, **options: Any) -> Any:
        """Raise NotImplementedError: gevent reaps a process' children in its hub."""
        raise NotImplementedError(_NO_SUBPROCESSES)


class LoopThread:
    """One native thread with one loop, started at the first coroutine; every job's coroutine shares it."""

    def __init__(self) -> None:
        self._loop: JobLoop | None = None

    def run(self, body: CoroutineBody) -> Any:
        """Return what the body returns; only the calling greenlet waits."""
        loop = self._started()
        done, ring = Event(), gevent.get_hub().loop.async_()
        ring.start(done.set)
        outcome: list[Any] = []

        async def carry() -> None:
            try:
                outcome.append((await body.run(), None))
            except BaseException as error:
                outcome.append((None, error))
            finally:
                ring.send()

        loop.call_soon_threadsafe(lambda: loop.create_task(carry()))
        try:
            done.wait()
        finally:
            ring.stop()
            ring.close()
        value, error = outcome[0]
        if error is not None:
            raise error
        return value

    def _started(self) -> JobLoop:
        if self._loop is None:
            self._loop = BesideHub()
            original("_thread", "start_new_thread")(self._loop.run_forever, ())
        return self._loop
