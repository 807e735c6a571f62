"""Jobs that ran on a worker that went away, or whose report did."""

from collections.abc import Callable
from typing import Any

import pytest

from jobs import stream
from jobs.models import Job, State
from jobs.recording import record_new
from jobs.redis_client import key
from jobs.rescue import Rescuer
from jobs.stream import Ending, Outcome, Place, Reader
from jobs.timing import Timings
from tests.rescue.conftest import Clock

pytestmark = pytest.mark.django_db


def ended(job: Job) -> Outcome:
    return Outcome(
        str(job.pk), job.attempt, Place("w1@host", 42), Timings(1, 2, 3, 4, 1, 1, 1, 1), Ending.SUCCEEDED
    )


def test_the_jobs_of_a_silent_worker_are_tried_again_with_their_history(
    rescuer: Rescuer, running: Any, beat: Any
) -> None:
    job = running()
    beat(ago_s=6)
    assert rescuer.look() == 1
    job.refresh_from_db()
    assert (job.state, job.attempt, job.worker, job.is_published) == (State.QUEUED, 2, "", False)
    [past] = job.history
    assert (past["ending"], past["error_type"], past["worker"]) == ("lost", "WorkerLost", "w1@host")
    assert past["run_s"] > 50
    assert rescuer.look() == 0


def test_a_job_rescued_after_its_last_attempt_has_failed_with_its_durations(
    rescuer: Rescuer, running: Any, beat: Any
) -> None:
    job = running(attempt=3)
    beat(ago_s=6)
    rescuer.look()
    job.refresh_from_db()
    assert (job.state, job.error_type, job.worker, job.pid) == (State.FAILED, "WorkerLost", "w1@host", 42)
    assert "w1@host" in job.error
    assert "last attempt of 3" not in job.error  # it has no history: as far as is known each attempt ended so
    assert job.run_s > 50
    assert job.broker_wait_s == 0.5


def set_redis_clock(client: Any, by_s: int) -> None:
    """Let Redis' clock be so far off from here on, as far as the rescuer can tell."""
    client.set_response_callback("TIME", lambda told, **_: (int(told[0]) + by_s, int(told[1])))


def test_redis_clock_set_forward_has_nobody_taken_for_dead(
    rescuer: Rescuer, running: Any, beat: Any, clock: Clock, own_keys: Any
) -> None:
    holds = [(str(running().pk), 1)]
    beat(holds=holds)
    assert rescuer.look() == 0
    for times in (1, 2, 3):
        set_redis_clock(own_keys, 30 * times)
        clock.advance(1)
        assert rescuer.look() == 0
        beat(ago_s=-30 * times, holds=holds)  # the next sign, by the clock as it is now
        assert rescuer.look() == 0
    clock.advance(4.9)
    assert rescuer.look() == 0
    clock.advance(0.2)
    assert rescuer.look() == 1


@pytest.mark.parametrize("by_s", [-3, -30, -7200])
def test_redis_clock_set_back_hides_no_dead_worker_and_has_no_other_taken_for_dead(
    rescuer: Rescuer, running: Any, beat: Any, clock: Clock, own_keys: Any, by_s: int
) -> None:
    dead, lives = running("dead@host"), running("lives@host")
    holds = {job.worker: [(str(job.pk), 1)] for job in (dead, lives)}
    for job in (dead, lives):
        beat(job.worker, holds=holds[job.worker])
    assert rescuer.look() == 0
    set_redis_clock(own_keys, by_s)
    rescued = 0
    for _ in range(5):
        assert rescued == 0
        clock.advance(1)
        beat("lives@host", ago_s=-by_s, holds=holds["lives@host"])
        rescued += rescuer.look()
    assert rescued == 1
    dead.refresh_from_db()
    assert (dead.state, dead.attempt) == (State.QUEUED, 2)


def test_a_sign_that_was_not_there_before_is_no_older_than_that(
    rescuer: Rescuer, running: Any, beat: Any, clock: Clock
) -> None:
    holds = [(str(running("new@host").pk), 1)]
    rescuer.look()
    clock.advance(1)
    beat("new@host", ago_s=30, holds=holds)  # given a moment ago, just before the clock was set forward
    assert rescuer.look() == 0
    clock.advance(4.1)
    assert rescuer.look() == 1


@pytest.mark.parametrize(
    ("endings", "says"), [(("lost", "lost"), "taken for poison"), (("lost", "failed"), "last attempt of 3")]
)
def test_a_job_that_ended_its_worker_each_time_is_called_poison(
    rescuer: Rescuer, running: Any, beat: Any, endings: tuple[str, str], says: str
) -> None:
    job = running(attempt=3, history=[{"ending": ending} for ending in endings])
    beat(ago_s=6)
    rescuer.look()
    job.refresh_from_db()
    assert job.state == State.FAILED
    assert says in job.error


def test_the_message_of_a_lost_attempt_that_comes_late_is_known_however_late_it_comes(
    rescuer: Rescuer, running: Any, beat: Any, own_keys: Any
) -> None:
    job = running()
    started = stream.Started(str(job.pk), 1, Place("w1@host", 42), Timings())
    stream.claim(own_keys, started, "frozen")
    beat(ago_s=6)
    assert rescuer.look() == 1
    stream.report(own_keys, ended(job))  # it was frozen, and ends after all
    assert own_keys.ttl(key("claim", job.pk, 1)) > 29 * 86_400


def test_a_worker_that_never_gave_a_sign_of_life_gets_the_time_for_one(
    rescuer: Rescuer, running: Any, clock: Clock
) -> None:
    # Also where its clock, and so the job's `started_at`, is an hour off.
    running("new@host")
    assert rescuer.look() == 0
    clock.advance(4.9)
    assert rescuer.look() == 0
    clock.advance(0.2)
    assert rescuer.look() == 1


def test_a_sign_of_life_in_between_starts_the_count_anew(
    rescuer: Rescuer, running: Any, beat: Any, clock: Clock, own_keys: Any
) -> None:
    job = running()
    rescuer.look()
    clock.advance(4)
    beat(holds=[(str(job.pk), 1)])
    assert rescuer.look() == 0
    own_keys.delete(key("heartbeats"), key("heartbeats", "at"), key("heartbeats", "held"))
    clock.advance(4)
    assert rescuer.look() == 0


def test_a_job_whose_living_worker_does_not_know_of_it_is_tried_again(
    rescuer: Rescuer, running: Any, beat: Any, clock: Clock
) -> None:
    # Redis lost the report of its end.
    known, forgotten = running(), running()
    for _ in range(3):
        beat(holds=[(str(known.pk), 1), (str(forgotten.pk), 2)])
        rescuer.look()
        clock.advance(2.6)
    forgotten.refresh_from_db()
    known.refresh_from_db()
    assert (known.state, forgotten.state, forgotten.attempt) == (State.RUNNING, State.QUEUED, 2)
    assert "its report never came" in forgotten.history[0]["error"]


def test_jobs_of_a_worker_that_cannot_tell_what_it_holds_are_left_alone(
    rescuer: Rescuer, running: Any, beat: Any, clock: Clock
) -> None:
    running()
    beat()  # of an older release
    rescuer.look()
    clock.advance(60)
    beat()
    assert rescuer.look() == 0


def test_only_running_jobs_are_rescued(rescuer: Rescuer, make: Callable[..., Job], beat: Any) -> None:
    beat("old@host", ago_s=60)
    make(worker="old@host", due_at=None, state=State.SUCCEEDED)
    make(worker="old@host", state=State.CANCELLED)
    assert rescuer.look() == 0


def test_a_report_that_comes_after_the_rescue_is_not_heard(
    rescuer: Rescuer, running: Any, beat: Any, own_keys: Any
) -> None:
    job, reader = running(), Reader(own_keys, "reader")
    reader.prepare()
    beat(ago_s=6)
    rescuer.look()
    stream.report(own_keys, ended(job))
    record_new(reader)
    job.refresh_from_db()
    assert (job.state, job.attempt) == (State.QUEUED, 2)


def test_nothing_counts_as_missing_while_reports_wait_to_be_recorded(
    rescuer: Rescuer, running: Any, beat: Any, own_keys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = running()
    beat(ago_s=6)
    stream.report(own_keys, ended(job))  # its worker died just after it
    assert 0 <= stream.backlog_s(own_keys) < 2
    monkeypatch.setattr(stream, "backlog_s", lambda client: 3.6)  # older than its silence, at least
    assert rescuer.look() == 0
    monkeypatch.undo()
    reader = Reader(own_keys, "reader")
    reader.prepare()
    record_new(reader)
    assert stream.backlog_s(own_keys) == 0
    assert rescuer.look() == 0
    job.refresh_from_db()
    assert job.state == State.SUCCEEDED


def test_what_a_silent_worker_ran_is_rescued_though_younger_reports_wait(
    rescuer: Rescuer, running: Any, beat: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    running()
    beat(ago_s=6)
    monkeypatch.setattr(stream, "backlog_s", lambda client: 3.0)
    assert rescuer.look() == 1


def test_what_a_living_worker_does_not_hold_is_not_counted_while_reports_wait(
    rescuer: Rescuer, running: Any, beat: Any, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    running()
    monkeypatch.setattr(stream, "backlog_s", lambda client: 2.5)
    for _ in range(4):
        beat(holds=[])
        assert rescuer.look() == 0
        clock.advance(3)


def test_a_worker_silent_for_an_hour_is_forgotten(rescuer: Rescuer, beat: Any, own_keys: Any) -> None:
    beat("old", ago_s=3700, holds=[("a", 1)])
    beat("new", holds=[])
    rescuer.look()
    assert own_keys.hkeys(key("heartbeats")) == ["new"]
    assert own_keys.hkeys(key("heartbeats", "held")) == ["new"]
