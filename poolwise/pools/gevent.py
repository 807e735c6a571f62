"""The gevent pool: greenlets with soft limits, CPU time per job, and a shutdown that gives back unstarted jobs."""

from collections.abc import Callable
from typing import Any

import gevent
from celery import platforms
from celery.concurrency import gevent as celery_gevent
from kombu.utils import functional

from poolwise.metering import GreenletClock, LagProbe, Meter, Stalls, child_threads, programs
from poolwise.pools import gevent_forks
from poolwise.pools.base import JobPool
from poolwise.pools.coroutines import CoroutineBody
from poolwise.pools.gevent_loop import LoopThread
from poolwise.pools.interrupts import Why, exception_for
from poolwise.pools.request import PoolRequest
from poolwise.pools.running_loops import RunningLoops
from poolwise.support import original

_JOB = "poolwise_job"
_native_ident = original("_thread", "get_ident")

# gevent's patching of threads inspects all objects, which imports kombu before `time` is patched: without this, the
# pauses between attempts to reconnect to a broker would block every greenlet.
functional.sleep = gevent.sleep  # type: ignore[attr-defined]


def _meter_of(starting: Any) -> Meter | None:
    """Return the meter of a greenlet that a job spawned, and set the job in its context.

    A spawned greenlet, or patched thread, inherits `spawn_tree_locals` from gevent, but not the context.
    """
    job: PoolRequest | None = (getattr(starting, "spawn_tree_locals", None) or {}).get(_JOB)
    if job is None:
        return None
    job.adopt_context()
    return job.meter


class GreenSignals(platforms.Signals):
    """Signals whose handlers run in a greenlet: Celery's handlers wait, and the hub must not."""

    def __setitem__(self, name: Any, handler: Any) -> None:
        if callable(handler):
            super().__setitem__(name, lambda *args: gevent.spawn(handler, *args))
        else:
            super().__setitem__(name, handler)


class _GreenAlarm:
    def __init__(self, delay_s: float, call: Callable[[], None]) -> None:
        self._greenlet = gevent.spawn_later(delay_s, call)

    def cancel(self) -> None:
        self._greenlet.kill(block=False)


class _Throw:
    """Raises an interrupt in the greenlet that created this object; call it in the hub only."""

    def __init__(self) -> None:
        self._greenlet = gevent.getcurrent()

    def __call__(self, why: Why) -> None:
        self._greenlet.throw(exception_for(why)())


class TaskPool(JobPool):
    """One greenlet per job."""

    Timer: Any = getattr(celery_gevent, "Timer")  # noqa: B009 - stubs leave it out
    is_green = True
    task_join_will_block = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.spawn_n = gevent.spawn_raw  # used by the consumer's remote control
        if not isinstance(platforms.signals, GreenSignals):
            platforms.signals = GreenSignals()

    def on_start(self) -> None:
        """Begin to keep CPU time and the running event loop per greenlet."""
        super().on_start()
        self._hub_thread, self._hub = _native_ident(), gevent.get_hub()
        self.stalls = Stalls(self.meters)
        RunningLoops().install()
        self._clock = GreenletClock(_meter_of, self.stalls, gevent.get_hub())
        self._clock.install()
        self._probe = LagProbe()
        self._loop_thread = LoopThread()
        # A timer, not a sleeping greenlet: cheaper, and an idle worker does little else.
        self._lag_timer = gevent.get_hub().loop.timer(LagProbe.PERIOD_S, LagProbe.PERIOD_S)
        self._lag_timer.start(self._probe_lag, self.stalls)

    def _probe_lag(self, stalls: Stalls) -> None:
        stalls.tick(self._probe.woke())

    def charge_children(self) -> None:
        """Charge native threads and programs to the job that starts them."""
        child_threads.install_on_gevent()
        programs.install_on_gevent()

    def reset_forked(self) -> None:
        """Reset the processes that jobs fork, their hub above all."""
        gevent_forks.install()

    def launch(self, job: PoolRequest) -> None:
        """Start a greenlet for the job."""
        job_greenlet = gevent.Greenlet(job.run)
        job_greenlet.name = job.name
        job_greenlet.spawn_tree_locals = {_JOB: job}
        job_greenlet.start()

    def post_from_thread(self, call: Callable[[], None]) -> None:
        """Make the call in a greenlet: it may wait, and the hub must not."""
        self._hub.loop.run_callback_threadsafe(gevent.spawn, call)

    def reach_out(self, job: PoolRequest) -> None:
        """Interrupt from the hub, where no body runs."""
        gevent.get_hub().loop.run_callback(job.deliver)

    def call_later(self, delay_s: float, call: Callable[[], None]) -> _GreenAlarm:
        """Make the call after a delay, unless it is cancelled."""
        return _GreenAlarm(delay_s, call)

    def detach(self, call: Callable[[], None]) -> None:
        """Make the call in a separate greenlet."""
        gevent.spawn(call)

    def run_coroutine(self, job: PoolRequest, coro: Any) -> Any:
        """Run the coroutine on the loop of a native thread; the greenlet waits."""
        body = CoroutineBody(coro)
        try:
            return job.call(body.interrupt, lambda: self._loop_thread.run(body))
        finally:
            body.close()

    def run_sync(self, job: PoolRequest, call: Callable[[], Any]) -> Any:
        """Call the body here."""
        return job.call(_Throw(), call)

    def sleep(self, job: PoolRequest, seconds: float) -> None:
        """Put the greenlet to sleep."""
        gevent.sleep(seconds)

    def cpu_s(self, job: PoolRequest) -> float:
        """Return the CPU seconds of the job's greenlets, its coroutine, its native threads and its programs."""
        if _native_ident() != self._hub_thread:
            return job.meter.greenlet_s + job.meter.loop_s()
        self._clock.charge()
        return job.meter.greenlet_s + job.meter.steps_s + job.meter.elsewhere_s()

    def loop_lag_s(self) -> tuple[float, float]:
        """Return the hub's lag in seconds."""
        return self._probe.read()
