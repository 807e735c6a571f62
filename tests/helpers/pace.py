"""Time limits of tests: stated for a machine of normal speed, and longer on a slower one."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_TURNS = 400_000
#: The wall time of these turns of an empty loop at normal speed: twice that of an idle core of 2020, since tests run
#: side by side.
_NORMAL_S = 0.05


def slowness() -> float:
    """Return how many times slower than normal this machine is now; at least 1."""
    return max(1.0, sorted(_took_s() for _ in range(3))[1] / _NORMAL_S)


def limit_s(stated_s: float) -> float:
    """Return the stated limit adjusted to the present speed of this machine, in seconds."""
    return stated_s * slowness()


def slowness_from_here() -> Callable[[], float]:
    """Return a function for the larger slowness of now and when it is called: the machine may be slow only in part."""
    before = slowness()
    return lambda: max(before, slowness())


@contextmanager
def within(stated_s: float) -> Iterator[None]:
    """Assert that the block takes no longer than stated, adjusted to the machine's speed before and after it."""
    slowness_since, begin_mono = slowness_from_here(), time.monotonic()
    yield
    took_s = time.monotonic() - begin_mono
    assert took_s < stated_s * slowness_since(), f"took {took_s:.2f} s"


def eventually[T](condition: Callable[[], T], timeout_s: float = 20.0, *, every_s: float = 0.05) -> T:
    """Return the first true value, polling less often the longer it takes. Raise AssertionError after the time-out."""
    begin_mono = time.monotonic()
    while not (value := condition()):
        passed_s = time.monotonic() - begin_mono
        if passed_s > timeout_s and passed_s > limit_s(timeout_s):
            raise AssertionError(f"still {value!r} after {passed_s:.0f} s")
        time.sleep(max(every_s, min(0.25, passed_s / 20)))
    return value


def becomes[T](value: Callable[[], T], expected: T, timeout_s: float = 20.0) -> None:
    """Wait until the value is as expected. Raise AssertionError with the last value after the time-out."""
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
