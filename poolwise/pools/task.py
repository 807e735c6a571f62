"""The base class of Celery tasks that run in any pool, as plain functions or coroutine functions."""

import contextvars
import functools
import inspect
from collections.abc import Callable
from typing import Any

import greenlet
from celery.contrib.django.task import DjangoTask

from poolwise.metering import METER, Meter
from poolwise.pools import api, forked, prefork
from poolwise.pools.connections import with_own_connections
from poolwise.pools.identity import IDENTITY, use_job_identity


def run_alone(run: Callable[[], Any]) -> Any:
    """Return `run()`, called as a job where no pool of ours keeps jobs apart: in a child of prefork, or by hand.

    There, too, other threads of a body count for it and see its request.
    """
    caller = IDENTITY.get()
    identity, meter = IDENTITY.set(caller or greenlet.getcurrent()), METER.set(Meter())
    try:
        if prefork.is_child() and caller is None:
            return with_own_connections(contextvars.copy_context().run, forked.run, run)
        return forked.run(run)
    finally:
        METER.reset(meter)
        IDENTITY.reset(identity)


class PoolTask(DjangoTask):
    """A task that may be an `async def` and whose body every pool can interrupt."""

    abstract = True

    #: Set if `run` itself calls `api.run_sync` or `api.run_coroutine`: then only that call is the body, and the code
    #: around it is neither interrupted nor moved to a thread.
    runs_own_body: bool = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        run = cls.__dict__.get("run")
        function = run.__func__ if isinstance(run, staticmethod) else run
        if inspect.iscoroutinefunction(function):
            # The tracer, autoretry and direct calls all see a synchronous `run`.
            wrapped = _awaited(function)
            setattr(cls, "run", staticmethod(wrapped) if isinstance(run, staticmethod) else wrapped)  # noqa: B010
            cls.runs_own_body = True

    @classmethod
    def on_bound(cls, app: Any) -> None:
        """Key the stacks of tasks by job, from the first task on."""
        use_job_identity(cls)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the body in the way of the current pool."""
        if api.current_job() is None:
            return run_alone(functools.partial(self.run, *args, **kwargs))
        if self.runs_own_body:
            return self.run(*args, **kwargs)
        return api.run_sync(self.run, *args, **kwargs)

    def apply_async(self, *args: Any, **kwargs: Any) -> Any:
        """Publish the task; from a job on an event loop, in a thread."""
        if api.on_loop():
            return api.offload(functools.partial(super().apply_async, *args, **kwargs))
        return super().apply_async(*args, **kwargs)

    @property
    def backend(self) -> Any:
        """Return the result backend; for a job on an event loop, one that makes its calls in a thread."""
        backend = self.plain_backend()
        return OffLoop(backend) if api.on_loop() else backend

    @backend.setter
    def backend(self, value: Any) -> None:
        self._backend = value

    def plain_backend(self) -> Any:
        """Return Celery's own result backend."""
        return super().backend


def _awaited(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        return api.run_coroutine(function(*args, **kwargs))

    return run


class OffLoop:
    """A result backend whose blocking methods run in a thread."""

    _BLOCKING = ("store_result", "mark_as_started", "mark_as_failure", "mark_as_retry", "mark_as_revoked")

    def __init__(self, backend: Any) -> None:
        self._backend = backend

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._backend, name)
        if name not in self._BLOCKING:
            return method
        return lambda *args, **kwargs: api.offload(functools.partial(method, *args, **kwargs))

    def mark_as_done(
        self, task_id: str, result: Any, request: Any = None, store_result: bool = True, **rest: Any
    ) -> Any:
        """Store the result, in a thread unless there is nothing to store and no chord to notify."""
        call = functools.partial(self._backend.mark_as_done, task_id, result, request, store_result, **rest)
        return api.offload(call) if store_result or (request and request.chord) else call()

    def process_cleanup(self) -> None:
        """Clean up after a job, in a thread if the backend has anything to do."""
        from celery.backends.base import Backend

        if type(self._backend).process_cleanup is not Backend.process_cleanup:
            api.offload(self._backend.process_cleanup)
