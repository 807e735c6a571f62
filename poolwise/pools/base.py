"""The base of our three pools: the queue of jobs that wait for a slot, and Celery's pool interface."""

import itertools
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from celery.concurrency import base, prefork
from celery.utils import log

from poolwise.metering import PROBE, Meter, Stalls, child_threads, programs
from poolwise.pools import database_places, forked
from poolwise.pools.api_types import AttemptNotes, PoolProtocol
from poolwise.pools.identity import use_job_identity
from poolwise.pools.interrupts import Why
from poolwise.pools.request import Admit, PoolRequest
from poolwise.support import native_lock

_DRAIN_STEP_S = 0.02
# Untyped: the stubs of Celery leave out the parts used here.
_BasePool: Any = base.BasePool
_run_ready_callbacks: Any = getattr(prefork, "_run_ready_callbacks")  # noqa: B009
_log: Any = log
_running: list["JobPool"] = []


def running_pool() -> "JobPool | None":
    """Return the pool that this process runs, if it is one of ours."""
    return _running[-1] if _running else None


class JobPool(_BasePool, PoolProtocol[PoolRequest]):
    """A pool that runs jobs in its own process, with slots, limits, revocation, warm and cold shutdown."""

    signal_safe = False
    body_can_be_buffer = True
    #: The stalls of the thread that all jobs share; None if each job has its own thread.
    stalls: Stalls | None = None
    #: The running attempts, for the watchdog; None without a watchdog.
    table: AttemptNotes | None = None
    #: Returns whether every report of a job that has ended has arrived.
    is_settled: Callable[[], bool] = staticmethod(lambda: True)
    #: Called with each job that the pool gave up.
    on_given_up: Callable[[PoolRequest], None] | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.closing = False
        self.hub: Any = None
        self.jobs: dict[int, PoolRequest] = {}
        #: How many jobs have got a slot so far.
        self.launched = 0
        self._waiting: deque[PoolRequest] = deque()
        self._numbers = itertools.count(1)
        self._lock = native_lock()

    @property
    def is_alive(self) -> bool:
        """Return whether jobs can still end."""
        return True

    def launch(self, job: PoolRequest) -> None:
        """Run the job in a slot."""
        raise NotImplementedError

    def post(self, call: Callable[..., None], *args: Any) -> None:
        """Make the call where jobs are launched."""
        call(*args)

    def post_from_thread(self, call: Callable[[], None]) -> None:
        """Make the call where jobs are launched; a native thread may call this."""
        self.post(call)

    # --- slots

    @property
    def slots(self) -> int:
        """How many jobs may run at a time."""
        return self.limit

    @property
    def active(self) -> int:
        """How many jobs run now."""
        return len(self.jobs)

    @property
    def waiting(self) -> int:
        """How many jobs wait for a slot."""
        return len(self._waiting)

    def fill(self) -> None:
        """Launch waiting jobs while slots are free."""
        while job := self._next():
            (job.admit or self.launch)(job)

    def _next(self) -> PoolRequest | None:
        with self._lock:
            if self.closing or not self._waiting or len(self.jobs) >= self.limit:
                return None
            job = self._waiting.popleft()
            self.jobs[job.number] = job
            self.launched += 1
            return job

    def meters(self) -> list[Meter]:
        """Return the meters of the jobs that run now."""
        return [job.meter for job in tuple(self.jobs.values())]

    def finished(self, job: PoolRequest) -> None:
        """Free the job's slot and wake the consumer, which may fetch again."""
        with self._lock:
            if self.jobs.pop(job.number, None) is None:  # it was given up before
                return
        self.fill()
        if self.hub is not None:
            self.hub.call_soon(_nothing)

    def given_up(self, job: PoolRequest) -> None:
        """Notify the worker of a job that may run on without a slot."""
        if self.on_given_up is not None:
            self.on_given_up(job)

    # --- Celery's interface

    def on_start(self) -> None:
        """Make `current_task` follow each job into its child tasks and threads."""
        use_job_identity(*self.app.tasks.values())
        _running.append(self)
        self.charge_children()
        self.reset_forked()
        database_places.install()
        PROBE.start()

    def charge_children(self) -> None:
        """Charge threads and programs to the job that starts them."""
        child_threads.install()
        programs.install()

    def reset_forked(self) -> None:
        """Reset the processes that jobs fork."""
        forked.install()

    def register_with_event_loop(self, hub: Any) -> None:
        """Keep the hub, to wake it."""
        self.hub = hub

    def on_apply(
        self, target: Callable[..., Any], args: Any = None, kwargs: Any = None,
        callback: Callable[..., Any] | None = None, accept_callback: Callable[..., Any] | None = None,
        error_callback: Callable[..., Any] | None = None, timeout_callback: Callable[..., Any] | None = None,
        soft_timeout: float | None = None, timeout: float | None = None, admit: Admit | None = None,
        unbegun: Callable[..., Any] | None = None, **_: Any,
    ) -> PoolRequest:  # fmt: skip
        """Queue a request as a job."""
        job = PoolRequest(
            self, next(self._numbers), partial(target, *(args or ()), **(kwargs or {})),
            accept_callback, callback, error_callback, timeout_callback,
            soft_timeout or self.options.get("soft_timeout"), timeout or self.options.get("timeout"), admit, unbegun,
        )  # fmt: skip
        self.post(self._enqueue, job)
        return job

    def _enqueue(self, job: PoolRequest) -> None:
        self._waiting.append(job)
        self.fill()

    def terminate_job(self, pid: int, signal: object = None) -> None:
        """Interrupt a running job, because it was revoked or because Celery shuts down cold."""
        is_shutdown = bool(_log._in_sighandler)
        if is_shutdown:
            self.closing = True
        job = self.jobs.get(pid)
        if job is not None:
            self.post(job.interrupt, Why.SHUTDOWN if is_shutdown else Why.REVOKED)

    def flush(self) -> None:
        """Drop the jobs that have not begun: the connection that brought them is lost, so they are redelivered."""
        self.post(self._waiting.clear)

    def grow(self, n: int = 1) -> None:
        """Add slots."""
        self.limit += n
        self.post(self.fill)

    def shrink(self, n: int = 1) -> None:
        """Remove slots as their jobs end. Raise ValueError if none would be left."""
        if self.limit - n < 1:
            raise ValueError("A pool needs at least one slot.")
        self.limit -= n

    def on_stop(self) -> None:
        """Shut down warm: running jobs finish, jobs that have not begun stay unacknowledged."""
        self.closing = True
        while (self.jobs or not self.is_settled()) and self.is_alive:
            time.sleep(_DRAIN_STEP_S)
            if self.hub is not None:  # it has stopped, but jobs that end must be acknowledged
                _run_ready_callbacks(self.hub)
        forked.end_children()

    def on_terminate(self) -> None:
        """Shut down cold: running jobs are interrupted."""
        self.closing = True
        for job in tuple(self.jobs.values()):
            self.post(job.interrupt, Why.SHUTDOWN)
        self.on_stop()

    def _get_info(self) -> dict[str, Any]:
        return {**super()._get_info(), "active": self.active, "waiting": self.waiting, **self.loop_info()}

    def loop_info(self) -> dict[str, Any]:
        """Return what `inspect stats` shows of the loop, if there is one."""
        now_s, worst_s = self.loop_lag_s()
        return {"loop-lag": round(now_s, 4), "loop-lag-max": round(worst_s, 4)}

    # --- for `api`

    def on_loop(self) -> bool:
        """Return whether the caller is a job's greenlet on an event loop."""
        return False

    def offload(self, job: PoolRequest, call: Callable[[], Any]) -> Any:
        """Return `call()`, a blocking call of the platform that is not interrupted."""
        return job.call_shielded(call)

    def greenlet_or_task(self, job: PoolRequest) -> str:
        """Return the name of the job's greenlet or task."""
        return job.name

    def loop_lag_s(self) -> tuple[float, float]:
        """Return the lag in seconds now, and the largest since the last call."""
        return 0.0, 0.0


def _nothing() -> None:
    pass
