from hypothesis import given
from hypothesis import strategies as st

from poolwise.support.timing import Stopwatch, Timings, elapsed_wall_s, to_datetime

stamps = st.floats(min_value=0, max_value=4e9)


@given(earlier=stamps, later=stamps)
def test_no_clock_skew_makes_a_duration_negative(earlier: float, later: float) -> None:
    assert elapsed_wall_s(earlier, later) >= 0


def test_a_missing_stamp_gives_no_duration() -> None:
    assert elapsed_wall_s(None, 1.0) is None
    assert to_datetime(None) is None


def test_off_cpu_time_is_the_rest_of_the_run_and_never_negative() -> None:
    assert Timings(run_s=1.0, cpu_s=0.25).off_cpu_s == 0.75
    assert Timings(run_s=1.0, cpu_s=1.5).off_cpu_s == 0.0
    assert Timings(run_s=1.0).off_cpu_s is None


def test_the_stopwatch_reads_cpu_time_from_the_given_clock() -> None:
    readings = iter([10.0, 10.25])
    watch = Stopwatch(lambda: next(readings))
    watch.start()
    timings = watch.stop()
    assert timings.cpu_s == 0.25
    assert timings.run_s is not None
    assert timings.run_s >= 0


def test_starting_again_counts_the_time_before_as_waiting() -> None:
    watch = Stopwatch(lambda: 0.0, received_mono=0.0)
    first = watch.start().worker_wait_s
    second = watch.start().worker_wait_s
    assert second >= first > 0


def test_a_wall_clock_that_steps_back_puts_no_end_before_its_start(monkeypatch) -> None:
    times = iter([1_000.0, 500.0])
    monkeypatch.setattr("poolwise.support.timing.wall_now", lambda: next(times))
    watch = Stopwatch(lambda: 0.0)
    watch.start()
    timings = watch.stop()
    assert timings.finished_at >= timings.started_at
