"""Why a pool is recommended: ties, the kind of job, its slots, and the words for ratios."""

import pytest

from poolwise.lab.answer import decide, kinds, texts, ties, why
from poolwise.lab.report import SweepPoint
from poolwise.lab.report.figures import Stall, TimeSums
from tests.helpers import report_sample as sample
from tests.helpers.answer_inputs import figures, inputs


def test_among_equal_costs_limits_that_hold_decide() -> None:
    chosen, reason = ties.cheapest([figures("gevent", cpu=0.95), figures("prefork", cpu=0.95)])
    assert chosen.name == "prefork"
    assert reason == "a limit ends one job without a restart of the worker"


def test_where_costs_decide_nothing_the_fastest_is_taken() -> None:
    pools = [figures("threads"), figures("threads2", model="threads")]
    assert ties.cheapest(pools) == (pools[0], "the fastest of them in these rounds")


def test_memory_decides_only_where_every_pool_reported_it() -> None:
    unknown = figures("threads2", model="threads", peak_memory_bytes=None)
    chosen, _ = ties.cheapest([unknown, figures("threads", peak_memory_bytes=1_000_000)])
    assert chosen is unknown
    alike = figures("threads", peak_memory_bytes=70_000_000)
    chosen, _ = ties.cheapest([figures("threads2", model="threads"), alike])
    assert chosen.name == "threads2", "a quarter less decides nothing"


def test_a_job_is_tiny_where_its_slots_are_idle_most_of_the_time() -> None:
    assert kinds.is_tiny(figures("gevent", run_s=0.0009, rate=200.0))
    assert not kinds.is_tiny(figures("gevent", run_s=0.0011, rate=200.0))
    assert not kinds.is_tiny(figures("gevent", run_s=0.0001, rate=None)), "its rate is not known"


def test_waiting_for_a_core_or_for_the_gil_counts_as_computing() -> None:
    time = TimeSums(cpu_s=0.4, run_queue_s=0.3, gil_wait_s=0.2, blocked_s=0.1, unattributed_s=0.0)
    busy = figures("prefork", time=time)
    assert kinds.computing_share([busy]) == pytest.approx(0.9)
    assert kinds.computing_share([]) is None
    nothing = TimeSums(cpu_s=0, run_queue_s=0, gil_wait_s=0, blocked_s=0, unattributed_s=0)
    assert kinds.computing_share([figures("prefork", time=nothing)]) is None


def test_the_kind_is_judged_on_the_pool_with_the_shortest_run() -> None:
    crowded = figures("threads", run_s=2.0, cpu=0.1)
    assert kinds.computing_share([crowded, figures("prefork", run_s=0.1, cpu=0.9)]) == pytest.approx(0.9)


def test_a_pool_whose_waits_are_unknown_does_not_say_that_a_job_waits() -> None:
    """Greenlets share a thread: on a busy machine most of a computation there is a wait for a core that is not split."""
    unknown = TimeSums(cpu_s=0.2, run_queue_s=0.0, gil_wait_s=0.0, blocked_s=0.0, unattributed_s=0.8)
    busy = TimeSums(cpu_s=0.1, run_queue_s=0.85, gil_wait_s=0.0, blocked_s=0.05, unattributed_s=0.0)
    pools = [figures("gevent", run_s=0.8, time=unknown), figures("prefork", run_s=2.0, time=busy)]
    assert kinds.computing_share(pools) == pytest.approx(0.95)
    assert kinds.computing_share(pools[:1]) == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("share", "words"),
    [
        (None, "was not measured"),
        (0.01, "The job waits for 99 % of its run"),
        (0.3, "waits for 70 %"),
        (0.5, "computes for 50 % of its run and waits for the rest"),
        (0.95, "The job computes for 95 % of its run"),
    ],
)
def test_the_kind_of_a_job_is_said_in_words(share: float | None, words: str) -> None:
    assert words in why.kind(share)


def test_why_gives_kind_memory_and_stalls() -> None:
    pool = figures("gevent", slots=200, peak_memory_bytes=70_000_000, stall=Stall(max_s=0.02, caused_by=None))
    assert why.why(pool, [pool, figures("prefork")], 2) == (
        "The job waits for 99 % of its run. A slot takes 0.35 MB there and 20 MB on prefork; "
        "its hub stalled for 20 ms at most."
    )
    bare = figures("threads", peak_memory_bytes=None)
    assert why.why(bare, [bare], 2) == "The job waits for 99 % of its run."


def test_the_cores_of_computing_threads_show_whether_the_gil_is_released() -> None:
    free, held = figures("threads", cpu=1.9), figures("threads", cpu=0.92)
    assert kinds.releases_gil([free])
    assert not kinds.releases_gil([held])
    assert kinds.releases_gil([figures("gevent")]) is None
    assert "n threads it used 1.9 of 2 cores, so the GIL is released." in why.why(free, [free], 2)
    assert "n threads it used 0.9 of 2 cores, so the GIL is held." in why.why(held, [held], 2)
    assert "GIL" not in why.why(free, [free], 1)


@pytest.mark.parametrize(
    ("model", "share"),
    [("gevent", 0.1), ("threads", 0.9), ("prefork", 0.9), ("prefork", 0.1), ("threads", None)],
)
def test_every_answer_has_what_would_change_it(model: str, share: float | None) -> None:
    assert why.would_change(figures(model), share).endswith(".")


def test_a_loop_would_be_left_for_a_job_that_computes() -> None:
    assert "computes for more than 30 % of its run (now 1.0 %)" in why.would_change(figures("gevent"), 0.01)


def test_slots_are_the_knee_the_cores_or_what_was_used() -> None:
    waits = figures("gevent", slots=200)
    sweep = {"gevent": [SweepPoint.model_validate(point) for point in sample.sweep()["gevent"]]}
    assert decide.slots_for(inputs({"gevent": 0.1}, waits, sweep=sweep), waits) == 16
    assert decide.slots_for(inputs({"gevent": 0.1}, waits), waits) == 200
    computes = figures("gevent", slots=200, cpu=0.95)
    assert decide.slots_for(inputs({"gevent": 0.1}, computes), computes) == 2


@pytest.mark.parametrize(
    ("ratio", "text"), [(1.043, "1.04×"), (1.15, "1.1×"), (2.34, "2.3×"), (9.6, "9.6×"), (16.8, "16.8×")]
)
def test_a_factor_has_the_digits_that_it_needs(ratio: float, text: str) -> None:
    assert texts.factor(ratio) == text


def test_names_are_listed_with_one_word_before_the_last() -> None:
    assert texts.listed(["a"]) == "a"
    assert texts.listed(["a", "b"], "or") == "a or b"
    assert texts.listed(["a", "b", "c"]) == "a, b and c"
