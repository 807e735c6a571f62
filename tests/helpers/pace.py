"""How long tests wait: the limits that they state are for a machine that keeps up, and grow on one that does not."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_TURNS = 400_000
#: What so many turns of an empty loop take at most where the limits are meant as stated, by the wall clock: twice
#: what an idle core of 2020 needs, for the tests run side by side.
_KEEPS_UP_S = 0.05


def slowness() -> float:
    """Return how many times slower than one that keeps up this machine is just now; 1 if it keeps up."""
    return max(1.0, sorted(_took_s() for _ in range(3))[1] / _KEEPS_UP_S)


def limit_s(stated_s: float) -> float:
    """Return the limit on this machine, in seconds, of what is to take no longer than stated."""
    return stated_s * slowness()


def slowness_from_here() -> Callable[[], float]:
    """Return what tells the slower of the machine's paces, now and when it is called: it may be slow for a part only."""
    before = slowness()
    return lambda: max(before, slowness())


@contextmanager
def within(stated_s: float) -> Iterator[None]:
    """Let a block take no longer than stated, by the slower of the machine's paces before and after it."""
    slowness_since, begin_mono = slowness_from_here(), time.monotonic()
    yield
    took_s = time.monotonic() - begin_mono
    assert took_s < stated_s * slowness_since(), f"took {took_s:.2f} s"


def eventually[T](condition: Callable[[], T], timeout_s: float = 20.0, *, every_s: float = 0.05) -> T:
    """Return the first true value, asking seldomer the longer it takes. Raise AssertionError after the time-out."""
    begin_mono = time.monotonic()
    while not (value := condition()):
        passed_s = time.monotonic() - begin_mono
        if passed_s > timeout_s and passed_s > limit_s(timeout_s):
            raise AssertionError(f"still {value!r} after {passed_s:.0f} s")
        time.sleep(max(every_s, min(0.25, passed_s / 20)))
    return value


def becomes[T](value: Callable[[], T], expected: T, timeout_s: float = 20.0) -> None:
    """Wait until the value is as expected. Raise AssertionError with the last one after the time-out."""
    last: list[T] = []

    def has_become() -> bool:
        last[:] = [value()]
        return last == [expected]

    try:
        eventually(has_become, timeout_s)
    except AssertionError as error:
        raise AssertionError(f"{last} instead of {expected!r}: {error}") from error


def _took_s() -> float:
    begin = time.perf_counter()
    for _ in range(_TURNS):
        pass
    return time.perf_counter() - begin
