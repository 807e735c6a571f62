from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from poolwise.lab.feed import Counted, FeedTiming, copies_of, feed_timing, missing
from poolwise.models import Batch, Comparison, Job, JobState
from tests.lab.conftest import Bench, planned, running_batch

pytestmark = pytest.mark.django_db


def end_one() -> None:
    job = Job.objects.live().order_by("created_at").first()
    Job.objects.filter(pk=job.pk).update(state=JobState.SUCCEEDED, finished_at=timezone.now())


def test_a_closed_loop_keeps_the_limit_of_jobs_in_flight(bench: Bench) -> None:
    comparison = planned(("alpha", "beta"), copies=5, in_flight=2)
    assert feed_timing() is None
    bench.tick()
    assert feed_timing() == FeedTiming(by_endings=True)
    live = []
    while running_batch(comparison).pool == "alpha":
        live.append(Job.objects.live().count())
        assert Job.objects.live().count() <= 2
        end_one()
        bench.tick()
    assert live == [2, 2, 2, 2, 1]
    assert Job.objects.filter(pool="alpha").count() == 5


def test_an_open_loop_publishes_at_its_rate_regardless_of_completions(bench: Bench) -> None:
    comparison = planned(("alpha",), copies=4, arrival_rate_per_s=1.0)
    assert feed_timing() is None
    bench.tick()
    assert Job.objects.count() == 1
    assert 0 < ((feed_timing() or FeedTiming()).arrival_s or 0) <= 1
    start = running_batch(comparison).released_at
    for seconds, published in ((1.3, 2), (2.3, 3), (9, 4)):
        Batch.objects.update(released_at=start - timedelta(seconds=seconds))
        bench.tick()
        assert Job.objects.live().count() == published
    assert feed_timing() == FeedTiming()


def test_an_overdue_arrival_is_due_at_once(bench: Bench) -> None:
    planned(("alpha",), copies=4, arrival_rate_per_s=10.0)
    bench.tick()
    Batch.objects.update(released_at=timezone.now() - timedelta(seconds=1))
    assert feed_timing() == FeedTiming(arrival_s=0.0)


@pytest.mark.parametrize("options", [{"in_flight": 1}, {"arrival_rate_per_s": 0.1}])
def test_warm_up_and_calibration_are_published_at_once_whatever_the_load(bench: Bench, options: Any) -> None:
    planned(("alpha",), copies=4, warmup=True, calibrate=True, **options)
    for definition, role in (("io.wait", "warmup"), ("endings.succeed", "calibration")):
        while not bench.tick():
            pass
        jobs = Job.objects.filter(batch__role=role)
        assert {job.definition for job in jobs} == {definition}
        assert jobs.live().count() == 4
        bench.end_jobs()


def test_a_warm_up_has_two_jobs_per_slot(bench: Bench) -> None:
    comparison = planned(("alpha",), copies=50, warmup=True)
    bench.tick()
    assert Job.objects.count() == 4
    assert copies_of(comparison, running_batch(comparison)) == 4


@given(
    copies=st.integers(1, 50), made=st.integers(0, 50), live=st.integers(0, 50), elapsed_s=st.floats(-5, 1000),
    load=st.one_of(st.just({}), st.fixed_dictionaries({"in_flight": st.integers(1, 60)}),
                   st.fixed_dictionaries({"arrival_rate_per_s": st.floats(0.001, 1000)})),
)  # fmt: skip
def test_never_more_jobs_are_published_than_the_batch_has(
    copies: int, made: int, live: int, elapsed_s: float, load: Any
) -> None:
    made, live = min(made, copies), min(live, made, copies)
    comparison = Comparison(copies=copies, **load)
    now = timezone.now()
    batch = Batch(comparison=comparison, released_at=now - timedelta(seconds=elapsed_s))
    more = missing(comparison, batch, Counted(made, live), now=now)
    assert 0 <= more <= copies - made
    if "in_flight" in load:
        assert live + more <= max(live, load["in_flight"])
