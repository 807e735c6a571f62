"""Several threads inside one job; in a gevent worker, where threads are patched, they are greenlets."""

import sys
import threading
import time
from collections.abc import Callable, Sequence

_STEP_S = 0.05
_BEGIN_TIMEOUT_S = 30.0


def together(functions: Sequence[Callable[[], None]]) -> None:
    """Call all functions at the same time, each in a thread, and wait for them. Raise the first error."""
    failures: list[BaseException] = []
    begin = threading.Barrier(len(functions), timeout=_BEGIN_TIMEOUT_S)

    def call(function: Callable[[], None]) -> None:
        try:
            begin.wait()
            function()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=call, args=(function,), daemon=True) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        while thread.is_alive():  # a thread can be interrupted between two steps, not within one long join
            thread.join(_STEP_S)
    if failures:
        raise failures[0]


def pause(duration_s: float) -> None:
    """Wait, so that other threads run; return at once for 0."""
    if duration_s:
        time.sleep(duration_s)


def where() -> str:
    """Return what runs the threads of this process: `threads`, or `gevent hub` where they are greenlets."""
    if "gevent" in sys.modules:
        from gevent import monkey

        if monkey.is_module_patched("threading"):
            return "gevent hub"
    return "threads"


def spin(duration_s: float) -> int:
    """Keep a core busy while holding the GIL; return how many rounds it did."""
    end_mono, rounds = time.perf_counter() + duration_s, 0
    while time.perf_counter() < end_mono:
        rounds += 1
    return rounds
