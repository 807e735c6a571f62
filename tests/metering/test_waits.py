"""Time splits and stalls as figures: their limits, their encoding and their record."""

import json
import time
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone

from poolwise.lifecycle import stream
from poolwise.lifecycle.folding import fold
from poolwise.lifecycle.stream import Ending, Outcome, Place
from poolwise.metering.cpu_clocks import Meter
from poolwise.metering.stalls import Stalls
from poolwise.metering.waits import Span, Waits, computing_share, split
from poolwise.models import Job, JobState
from poolwise.reports.time_split import on_cpu, time_split
from poolwise.support import signing
from poolwise.support.timing import Timings


def burn(cpu_s: float) -> None:
    until = time.thread_time() + cpu_s
    while time.thread_time() < until:
        pass


def span(**seconds: Any) -> Span:
    none = {"process_cpu_s": 0.0, "run_queue_s": 0.0, "switches": 0, "wakes": 100, "waited_s": 0.0}
    return Span(**{"wall_s": 1.0, "thread_cpu_s": 0.1, "recent_s": 0.0, **none, **seconds})


def test_only_the_sleep_of_a_shared_thread_is_certainly_blocked_time() -> None:
    waits = split(span(thread_cpu_s=0.4, process_cpu_s=0.4, run_queue_s=0.1), 0.05, is_alone=False)
    assert waits == Waits(blocked_s=pytest.approx(0.5))


def test_the_gil_wait_is_at_most_what_other_threads_computed() -> None:
    waits = split(span(process_cpu_s=0.15, switches=200, wakes=50, waited_s=0.5), 0.1, is_alone=True)
    assert waits.gil_wait_s == pytest.approx(0.05)


def test_the_gil_wait_is_at_most_the_time_in_which_others_had_the_gil() -> None:
    busy = {"process_cpu_s": 0.9, "switches": 200, "waited_s": 0.5, "thread_cpu_s": 0.3}
    assert split(span(**busy), 0.3, is_alone=True).gil_wait_s == pytest.approx(0.3)
    assert split(span(**busy, looks=50, held_looks=2.5), 0.3, is_alone=True).gil_wait_s == pytest.approx(0.05)
    assert split(span(**busy, looks=50), 0.3, is_alone=True).gil_wait_s == 0


def test_a_job_that_waits_for_a_core_or_the_gil_computes() -> None:
    assert computing_share(1.0, 0.45, 0.5) == pytest.approx(0.95)
    assert computing_share(2.0, 0.2, None, 1.6) == pytest.approx(0.9)
    assert computing_share(1.0, 0.01, 0.01, 0.0) == pytest.approx(0.02)
    assert computing_share(1.0, 1.9) == pytest.approx(1.9)
    assert computing_share(1.0, None, 0.5) is computing_share(None, 0.1) is None


def ended(**values: Any) -> Job:
    return Job(state=JobState.SUCCEEDED, **{"run_s": 1.0, "cpu_s": 0.2, **values})


def test_unmeasured_time_is_unattributed() -> None:
    assert time_split(ended())["unattributed"] == pytest.approx(0.8)
    assert time_split(Job()) == {}


def test_notable_waits_for_a_core_or_the_gil_stand_beside_the_cpu_share() -> None:
    assert on_cpu(ended(cpu_s=0.1, gil_wait_s=0.8, run_queue_s=0.1)) == (
        "10 % on CPU, 10 % waiting for a core, 80 % waiting for the GIL"
    )
    assert on_cpu(ended(blocked_s=0.75, gil_wait_s=0.05)) == "20 % on CPU"
    assert on_cpu(ended(gil_wait_s=3.0)) == "20 % on CPU"  # it contradicts the run
    assert on_cpu(ended(cpu_s=1.9)) == "190 % on CPU"
    assert on_cpu(ended(cpu_s=None)) == on_cpu(Job()) == ""


def test_parts_that_exceed_the_run_are_dropped() -> None:
    parts = time_split(ended(run_queue_s=0.5, blocked_s=0.7))
    assert parts == {
        "cpu": 0.2,
        "run_queue": 0,
        "gil_wait": 0,
        "blocked": 0,
        "unattributed": pytest.approx(0.8),
    }
    nearly = time_split(ended(run_queue_s=0.5, blocked_s=0.302))
    assert sum(nearly.values()) == pytest.approx(1.0)


def test_a_long_stint_stalls_all_other_jobs_and_is_attributed_to_its_own() -> None:
    hog, sleeper = Meter(), Meter()
    stalls = Stalls(lambda: [hog, sleeper])
    stalls.tick(0.0)
    stalls.begin(time.thread_time())
    burn(0.05)
    stalls.over(hog, time.thread_time())
    assert sleeper.stall_s >= hog.caused_stall_s >= 0.05
    assert hog.stall_s == sleeper.caused_stall_s == 0
    assert stalls.worst_s == sleeper.stall_s


def test_a_late_loop_without_a_long_stint_is_a_stall_without_a_cause() -> None:
    meters = [Meter(), Meter()]
    stalls = Stalls(lambda: meters)
    time.sleep(0.05)
    stalls.tick(0.04)
    assert [meter.stall_s for meter in meters] == [0.04, 0.04]
    assert [meter.caused_stall_s for meter in meters] == [0, 0]


def outcome(**values: Any) -> Outcome:
    return Outcome(str(uuid4()), 1, Place("w", 1), Timings(run_s=1.0), Ending.SUCCEEDED, **values)


def test_an_encoded_outcome_keeps_its_waits_if_it_has_any() -> None:
    waits = Waits(0.1, None, 0.25, 0.0, 0.5)
    entry = stream.decode(stream.encode(outcome(waits=waits)))
    assert isinstance(entry, Outcome)
    assert entry.waits == waits
    old = stream.decode(stream.encode(outcome()))
    assert isinstance(old, Outcome)
    assert "q" not in json.loads(stream.encode(outcome()).partition(" ")[2])
    assert old.waits == Waits()


def test_an_entry_of_a_newer_release_with_more_fields_is_accepted() -> None:
    data = json.loads(stream.encode(outcome(waits=Waits(0.1))).partition(" ")[2])
    text = json.dumps(data | {"q": [*data["q"], 7.0]})
    entry = stream.decode(f"{signing.sign(signing.REPORT, text)} {text}")
    assert isinstance(entry, Outcome)
    assert entry.waits == Waits(0.1)


def test_the_recorder_writes_the_waits_to_the_job() -> None:
    entry = outcome(waits=Waits(0.1, 0.2, 0.3, 0.4, 0.5))
    job = Job(id=entry.job_id, state=JobState.RUNNING)
    assert fold(job, entry, now=timezone.now())
    assert (job.run_queue_s, job.gil_wait_s, job.blocked_s, job.stall_s, job.caused_stall_s) == (
        0.1, 0.2, 0.3, 0.4, 0.5,
    )  # fmt: skip
