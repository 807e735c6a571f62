"""An event loop in a native thread beside gevent's hub, for bodies that exist only as a coroutine."""

from typing import Any

import gevent
from gevent.event import Event

from jobs.pools.coroutines import CoroutineBody
from jobs.pools.executor import original
from jobs.pools.loop import JobLoop


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
            # gevent's own selector would wait in a hub of that thread.
            self._loop = JobLoop(original("selectors", "DefaultSelector")())
            original("_thread", "start_new_thread")(self._loop.run_forever, ())
        return self._loop
