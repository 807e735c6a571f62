"""The probes of the prefork model: a child as the pool makes them, and the signals that the pool would send it."""

import os
import signal
import time
import warnings
from itertools import product
from typing import Any

import psutil
from billiard.common import reset_signals, terminate_handler_fired  # type: ignore[attr-defined]
from billiard.pool import SIG_SOFT_TIMEOUT, soft_timeout_sighandler

from poolwise.pools.coroutines import CoroutineBody, run_in_this_thread
from poolwise.pools.limits import (
    ACTIVITIES,
    CALLS_C,
    CANCEL,
    COROUTINE,
    HARD,
    INTERRUPTS,
    SOFT,
    STYLES,
    Support,
)
from poolwise.pools.prefork import REVOKE_SIGNAL
from tests.worker.stuck.limit_probes import Body, key

_BEGUN, _CUT_SHORT, _DONE = b"b", b"c", b"d"
#: A child that is deaf to its signal is killed, here after less time than a job's.
_KILL_AFTER_S = 0.03
#: Long enough that the kill comes before the end, on a busy machine too.
_COMPUTE_S, _ROUNDS = 0.12, 200_000
#: For what ends by itself in any case: it is to last until its signal is there.
_SHORT_S, _FEW_ROUNDS = 0.03, 50_000


def _no_fork_warning() -> Any:
    # As every fork of the pool, it has threads around.
    return warnings.catch_warnings(action="ignore", category=DeprecationWarning)


def probe_all() -> dict[str, str]:
    """Return what each interrupt does to each sort of body."""
    support: dict[str, str] = {}
    for doing, style, interrupt in product(ACTIVITIES, STYLES, INTERRUPTS):
        # What came too late on a busy machine is tried again, but for what can only land at a yield.
        lands_late = interrupt == SOFT and (style == COROUTINE or doing == CALLS_C)
        children = (ProbeChild(doing, style, is_short=lands_late) for _ in range(1 if lands_late else 2))
        holds = any(child.interrupt(interrupt) for child in children)
        support[key(interrupt, style, doing)] = Support.ENFORCED if holds else Support.AT_NEXT_YIELD
    return support


class ProbeChild:
    """A process that runs one body."""

    def __init__(self, doing: str, style: str, *, is_short: bool = False) -> None:
        lasts_s, rounds = (_SHORT_S, _FEW_ROUNDS) if is_short else (_COMPUTE_S, _ROUNDS)
        self._told, write = os.pipe()
        with _no_fork_warning():
            self._pid = os.fork()
        if not self._pid:
            _be_child(Body(doing, lasts_s, rounds), style, write)
        os.close(write)

    def interrupt(self, interrupt: str) -> bool:
        """Interrupt the body as the pool does; return whether that ended it early."""
        try:
            if os.read(self._told, 1) != _BEGUN:
                return False
            time.sleep(0.005)
            sent = {SOFT: SIG_SOFT_TIMEOUT, HARD: signal.SIGTERM, CANCEL: getattr(signal, REVOKE_SIGNAL)}[
                interrupt
            ]
            os.kill(self._pid, sent)
            return self._ends_early(interrupt)
        finally:
            os.close(self._told)
            self._reap(signal.SIGKILL)

    def _ends_early(self, interrupt: str) -> bool:
        # Killed, or left by SystemExit, it writes nothing: the pipe just ends.
        if interrupt == SOFT:
            return os.read(self._told, 1) == _CUT_SHORT
        until_mono = time.monotonic() + _KILL_AFTER_S
        while time.monotonic() < until_mono and psutil.Process(self._pid).status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.002)
        os.kill(self._pid, signal.SIGKILL)
        return os.read(self._told, 1) != _DONE

    def _reap(self, signum: int) -> None:
        os.kill(self._pid, signum)
        os.waitpid(self._pid, 0)


def _be_child(body: Body, style: str, write: int) -> None:
    try:
        reset_signals()
        signal.signal(SIG_SOFT_TIMEOUT, soft_timeout_sighandler)
        body.on_begin = lambda: os.write(write, _BEGUN)
        if style == COROUTINE:
            run_in_this_thread(CoroutineBody(body.coroutine()))
        else:
            body.function()
        os.write(write, _DONE)
    except BaseException:
        if not terminate_handler_fired():
            os.write(write, _CUT_SHORT if body.was_cut_short else _DONE)
    finally:
        os._exit(0)
