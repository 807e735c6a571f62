"""A worker finds out, at its start, what limits and cancellations do on its pool; its heartbeat shows it."""

import time
from collections.abc import Callable
from functools import partial
from typing import Protocol

import structlog

from jobs.native_threads import start_native_thread
from jobs.pools import base, prefork_trials, trials

log = structlog.get_logger(__name__)


class Shows(Protocol):
    """Whoever shows what was found."""

    guarantees: dict[str, str]


def try_guarantees(heart: Shows) -> None:
    """Find out what limits and cancellations do in this worker, beside its jobs, and let its heart tell it."""
    pool = base.running_pool()
    if pool is None:
        start_native_thread(partial(_learn, heart, prefork_trials.Trials().findings), "trials")
    else:
        pool.in_background(lambda pause: _learn(heart, lambda: trials.try_all(pool, pause)))


def _learn(heart: Shows, find: Callable[[], dict[str, str]]) -> None:
    began = time.monotonic()
    try:
        heart.guarantees = find()
    except Exception:  # the worker works without; its pool then shows nothing
        log.exception("what the pool guarantees could not be tried")
        return
    log.info("guarantees tried", seconds=round(time.monotonic() - began, 2), **heart.guarantees)
