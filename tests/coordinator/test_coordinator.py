import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import DataError, OperationalError
from django.utils import timezone
from django_celery_results.models import TaskResult
from structlog.testing import capture_logs

from dev.own_redis import OwnRedis
from poolwise.coordinator import ThreadedCoordinator, loop, pace, recording
from poolwise.coordinator.loop import own_reader
from poolwise.coordinator.pool_samples import prune_samples, sample
from poolwise.coordinator.recording import record_adopted, record_new
from poolwise.coordinator.recovery import Recovery
from poolwise.lifecycle import publishing, recorder, stream
from poolwise.lifecycle.heartbeats import COORDINATOR, Heartbeat, coordinator_is_up, read_all, send
from poolwise.lifecycle.stream import Ending, Outcome, Place, Reader, Started, stream_key
from poolwise.lifecycle.submission import submit
from poolwise.models import Job, JobLog, JobState, PoolSample
from poolwise.support.duty import Duty, Pacing
from poolwise.support.redis import key, worker_client
from poolwise.support.timing import Timings, wall_now
from tests import ROOT
from tests.helpers.core import after, claim, coordinate, coordinator_of, keep_connections, reports
from tests.helpers.pace import eventually, limit_s
from tests.helpers.platform import Platform, _test_database_url

pytestmark = pytest.mark.django_db
PLACE = Place("w1@host", 42, "MainThread")


def make(**fields: Any) -> Job:
    return Job.objects.create(
        **{"definition": "io.wait", "kind": "io", "pool": "threads", "max_attempts": 3, **fields}
    )


def running(worker: str = "w1@host") -> Job:
    started_at = timezone.now() - timedelta(seconds=60)
    return make(state=JobState.RUNNING, worker=worker, started_at=started_at, pid=42)


def timings() -> Timings:
    now = wall_now()
    return Timings(now - 3, now - 2, now - 1, now - 0.5, 1.0, 1.0, 0.5, 0.1)


def ended(job: Job, ending: Ending = Ending.SUCCEEDED, place: Place = PLACE, **fields: Any) -> Outcome:
    return Outcome(str(job.pk), job.attempt, place, timings(), ending, **{"result": "1", **fields})


def age_heartbeat(client: Any, worker: str, for_s: float) -> None:
    """Put a worker's last heartbeat into the past."""
    client.zincrby(key("heartbeats", "at"), -for_s, worker)


@pytest.fixture
def reader(own_keys: Any) -> Reader:
    reader = Reader(own_keys, "reader-1")
    reader.prepare()
    return reader


# --- recording ------------------------------------------------------------------------------------------
def test_what_is_reported_is_recorded_and_taken_off_the_stream(own_keys: Any, reader: Reader) -> None:
    job = make()
    claim(own_keys, Started(str(job.pk), 1, PLACE, timings()), "token")
    stream.report(own_keys, ended(job))
    assert record_new(reader) == 2
    job.refresh_from_db()
    assert (job.state, TaskResult.objects.get(task_id=job.pk).result) == (JobState.SUCCEEDED, "1")
    assert reports(own_keys) == []
    assert own_keys.xpending(stream_key(), stream.GROUP)["pending"] == 0
    assert record_new(reader) == 0


def test_what_was_reported_before_the_end_is_recorded_by_it(
    own_keys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "_LAST_REPORTS_S", 60.0)  # a batch may take seconds on a busy machine
    stopped = coordinator_of(own_keys)
    own_reader(own_keys).prepare()
    jobs = [make() for _ in range(recording.BATCH + 1)]
    for job in jobs:
        stream.report(own_keys, ended(job))
    stopped.stop()
    stopped.run()
    assert Job.objects.filter(state=JobState.SUCCEEDED).count() == len(jobs)
    assert reports(own_keys) == []


def test_a_coordinator_ends_without_redis_too(own_redis: OwnRedis) -> None:
    stopped = coordinator_of()
    stopped.stop()
    with capture_logs() as logged:
        stopped.run()
    assert [line["event"] for line in logged] == [
        "reports stay on the stream for the next coordinator",
        "cannot remove the heartbeat; it expires by age",
    ]


def test_an_entry_that_cannot_be_read_is_dropped_and_the_others_are_recorded(
    own_keys: Any, reader: Reader
) -> None:
    job = make()
    for text in ("", "no json", '{"id": 1}', "[]"):
        own_keys.xadd(stream_key(), {"e": text})
    own_keys.xadd(stream_key(), {"other": "field"})
    stream.report(own_keys, ended(job))
    assert record_new(reader) == 6
    job.refresh_from_db()
    assert job.state == JobState.SUCCEEDED
    assert own_keys.xlen(stream_key()) == 0


@pytest.mark.parametrize(
    "fields",
    [
        {"error": "a\x00b", "traceback": "\x00"},
        {"error": "\udc80", "error_type": "\udc80", "traceback": "\udc80"},
        {"log": ((0.1, "info", "\x00\udc80"),)},
        {"place": Place("w\x00", 1, "\udc80", "\x00")},
    ],
    ids=["nul", "surrogate", "log", "place"],
)
def test_texts_that_no_database_takes_are_recorded_with_a_sign_in_their_place(
    own_keys: Any, reader: Reader, fields: Any
) -> None:
    job = make()
    stream.report(own_keys, ended(job, Ending.FAILED, **fields))
    record_new(reader)
    job.refresh_from_db()
    assert job.state == JobState.FAILED
    log = JobLog.objects.filter(job=job).first()
    texts = (job.error, job.error_type, job.worker, job.thread, log.lines[0][2] if log else "")
    assert "\N{REPLACEMENT CHARACTER}" in "".join(texts)
    assert all("\x00" not in text and text.encode() is not None for text in texts)


def test_a_report_with_values_that_no_row_can_hold_does_not_stop_the_others(
    own_keys: Any, reader: Reader
) -> None:
    bad, good = make(), make()
    nonsense = Timings(1e300, 1e300, 1e300, 1e300, 1.0, 1.0, 1.0, 1.0)
    stream.report(own_keys, Outcome(str(bad.pk), 1, PLACE, nonsense, Ending.SUCCEEDED))
    stream.report(own_keys, ended(good))
    assert record_new(reader) == 2
    good.refresh_from_db()
    assert good.state == JobState.SUCCEEDED
    assert own_keys.xlen(stream_key()) == 0


def test_a_batch_that_the_database_refuses_is_recorded_one_by_one(
    own_keys: Any, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs, record = [make() for _ in range(3)], recorder.record

    def refuse(entries: Any) -> Any:
        if str(jobs[1].pk) in {entry.job_id for entry in entries}:
            raise DataError("out of range")
        return record(entries)

    monkeypatch.setattr(recorder, "record", refuse)
    for job in jobs:
        stream.report(own_keys, ended(job))
    assert record_new(reader) == 3
    assert Job.objects.filter(state=JobState.SUCCEEDED).count() == 2


def test_what_a_dead_reader_took_is_adopted_and_recorded_once(
    own_keys: Any, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "_ADOPT_IDLE_MS", 60_000)
    job = make()
    stream.report(own_keys, ended(job))
    taken = Reader(own_keys, "dead").read(count=10, block_ms=1)
    assert record_new(reader) == 0
    assert record_adopted(reader) == 0, "it may still be at it"
    monkeypatch.setattr(recording, "_ADOPT_IDLE_MS", 0)
    assert record_adopted(reader) == 1
    before = Job.objects.values().get()
    recording._record(reader, taken)
    assert Job.objects.values().get() == before


def test_a_database_that_is_away_is_waited_for_and_nothing_is_lost(
    own_keys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, record, faults = make(), recorder.record, iter([OperationalError("gone"), OperationalError("gone")])

    def fail_twice(entries: Any) -> Any:
        if (fault := next(faults, None)) is not None:
            raise fault
        return record(entries)

    monkeypatch.setattr(recorder, "record", fail_twice)
    monkeypatch.setattr(loop, "_PAUSE_AFTER_FAULT_S", 0.05)
    monkeypatch.setattr(recording, "_ADOPT_IDLE_MS", 20)
    stream.report(own_keys, ended(job))
    coordinate(lambda: Job.objects.ended().exists(), monkeypatch, within_s=14)


def test_a_redis_that_lost_its_data_gets_its_group_again(
    own_redis: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "_PAUSE_AFTER_FAULT_S", 0.05)
    own_redis.start()
    client, job = own_redis.client(), make()
    after(0.4, client.flushall)
    reporting = after(0.8, lambda: stream.report(client, ended(job)))
    coordinate(lambda: Job.objects.ended().exists(), monkeypatch)
    reporting.join()  # it may not have its answer yet


def test_a_redis_that_comes_late_and_goes_away_is_waited_for(
    own_redis: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "_PAUSE_AFTER_FAULT_S", 0.05)
    first, second = make(), make()
    client = own_redis.client()
    reporting = after(0.3, lambda: [own_redis.start(), stream.report(client, ended(first))])
    coordinate(lambda: Job.objects.ended().count() == 1, monkeypatch)
    reporting.join()  # it may not have its answer yet
    own_redis.kill()
    reporting = after(0.3, lambda: [own_redis.start(), stream.report(client, ended(second))])
    coordinate(lambda: Job.objects.ended().count() == 2, monkeypatch)
    reporting.join()


def test_a_duty_that_fails_does_not_end_the_others(own_keys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishing, "publish_due", lambda: 1 / 0)
    job = make()
    stream.report(own_keys, ended(job))
    coordinate(lambda: Job.objects.ended().exists() and PoolSample.objects.exists(), monkeypatch)


def test_a_coordinator_shows_itself_while_it_runs_and_not_afterwards(
    own_redis: Any, monkeypatch: Any
) -> None:
    own_redis.start()
    keep_connections(monkeypatch)
    acting, seen = coordinator_of(), threading.Event()

    def stop_once_shown() -> None:
        try:
            eventually(coordinator_is_up)
            seen.set()
        finally:
            acting.stop()

    watching = threading.Thread(target=stop_once_shown)
    watching.start()
    acting.run()
    watching.join()
    assert seen.is_set()
    assert not coordinator_is_up()


# --- after an outage ------------------------------------------------------------------------------------
def test_nothing_is_recovered_before_the_workers_could_send_heartbeats_again_after_an_outage(
    own_redis: Any, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.JOB_WORKER_DEAD_AFTER_S = 3.0
    monkeypatch.setattr(loop, "_PAUSE_AFTER_FAULT_S", 0.05)
    running("w1@host")
    gone = running("w2@host")
    after(0.5, own_redis.start)
    client = own_redis.client()
    timers = [
        after(at_s, lambda: send(client, Heartbeat("w1@host", "threads", 42, "host")))
        for at_s in (2.0, 4.0, 6.0, 8.0)
    ]
    coordinate(lambda: Job.objects.queued().exists(), monkeypatch, within_s=12)
    for heartbeat in timers:
        heartbeat.cancel()
        heartbeat.join()
    assert Job.objects.queued().get() == gone


def test_a_coordinator_that_begins_gives_every_worker_the_time_for_another_sign(
    own_keys: Any, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.JOB_HEARTBEAT_S = 1.0
    running("w1@host")
    gone = running("w2@host")
    for name in ("w1@host", "w2@host"):  # just before Redis' clock was set forward
        send(own_keys, Heartbeat(name, "threads", 42, "host"))
        age_heartbeat(own_keys, name, 60)
    sweep = Recovery.sweep

    def sweep_before_the_next_heartbeat(self: Recovery, **how: bool) -> int:
        recovered = sweep(self, **how)
        send(own_keys, Heartbeat("w1@host", "threads", 42, "host"))
        return recovered

    monkeypatch.setattr(Recovery, "sweep", sweep_before_the_next_heartbeat)
    coordinate(lambda: Job.objects.queued().exists(), monkeypatch, within_s=12)
    assert Job.objects.queued().get() == gone


# --- samples --------------------------------------------------------------------------------------------
def test_a_sample_says_of_each_pool_what_waits_runs_and_serves(own_keys: Any, settings: Any) -> None:
    for name, slots, memory in (("a", 4, 100), ("b", 2, 50), ("silent", 9, 9)):
        send(own_keys, Heartbeat(name, "threads", 1, "h", slots=slots, memory_bytes=memory))
    age_heartbeat(own_keys, "silent", 60)
    make(created_at=timezone.now() - timedelta(seconds=30))
    make()
    running()
    make(state=JobState.SUCCEEDED)
    sample(own_keys)
    row = PoolSample.objects.get(pool="threads")
    assert (row.queued, row.running, row.workers, row.slots, row.memory_bytes) == (
        2,
        1,
        2,
        6,
        150,
    )
    assert 30 <= row.oldest_s < 40
    idle = PoolSample.objects.get(pool="gevent")
    assert (idle.queued, idle.running, idle.oldest_s, idle.workers) == (0, 0, 0.0, 0)
    assert PoolSample.objects.count() == len(settings.JOB_POOLS)


def test_old_samples_are_deleted(settings: Any) -> None:
    settings.JOB_SAMPLE_KEEP_DAYS = 2
    figures = {"queued": 0, "running": 0, "workers": 0, "slots": 0, "memory_bytes": 0}
    for hours in (1, 47, 49):
        PoolSample.objects.create(pool="p", at=timezone.now() - timedelta(hours=hours), **figures)
    prune_samples()
    assert PoolSample.objects.count() == 2


# --- two at once ----------------------------------------------------------------------------------------
@pytest.mark.services
@pytest.mark.django_db(transaction=True)
def test_two_coordinators_at_once_record_each_job_once(
    platform: Platform, eventually: Callable[..., Any]
) -> None:
    second = subprocess.Popen(
        [sys.executable, "manage.py", "coordinator"],
        cwd=ROOT, env={**os.environ, "DATABASE_URL": _test_database_url()},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        eventually(lambda: sum(b.is_alive and b.pool == COORDINATOR for b in read_all(worker_client())) == 2)
        jobs = submit("io.wait", {"duration_s": 0.02}, pool="threads", copies=300)
        platform.wait_for(*jobs)
        assert {(job.state, job.attempt, len(job.history)) for job in jobs} == {(JobState.SUCCEEDED, 1, 0)}
        ids = [str(job.pk) for job in jobs]
        assert TaskResult.objects.filter(task_id__in=ids, status="SUCCESS").count() == 300
    finally:
        second.terminate()
        assert second.wait(15) == 0


# --- duties ---------------------------------------------------------------------------------------------
def run_for(duties: list[Duty], seconds: float, client: Any) -> None:
    acting = loop.Coordinator(own_reader(client), duties)
    timer = after(seconds, acting.stop)
    acting.run()
    timer.join()


def test_the_loop_runs_whatever_duties_it_is_given_and_tells_them_of_its_begin_and_end(own_keys: Any) -> None:
    logged: list[str] = []
    duty = Duty(
        "d", 0.1, lambda: logged.append("run"), begin=lambda outage: logged.append(f"begin {outage}"),
        stop=lambda: logged.append("stop"),
    )  # fmt: skip
    run_for([duty], 0.35, own_keys)
    assert logged[0] == "begin False"
    assert logged[-1] == "stop"
    assert 2 <= logged.count("run") <= 5  # the last in the step during which it was stopped


def test_a_duty_may_ask_to_run_again_before_its_interval_is_over(own_keys: Any) -> None:
    runs: list[float] = []

    def run() -> Pacing:
        runs.append(time.monotonic())
        return Pacing(again_in_s=0.05)

    run_for([Duty("d", 60.0, run)], 0.5, own_keys)
    assert len(runs) > 3


def test_a_duty_after_recording_runs_before_the_others_when_something_was_recorded(own_keys: Any) -> None:
    logged: list[str] = []
    duties = [
        Duty("first", 60.0, lambda: logged.append("first")),
        Duty("after", 60.0, lambda: logged.append("after"), after_recording=True),
    ]
    own_reader(own_keys).prepare()
    stream.report(own_keys, ended(make()))
    run_for(duties, 0.3, own_keys)
    assert logged == ["after", "first"]


# --- recording in a thread of its own -------------------------------------------------------------------
def threaded(duties: list[Duty], client: Any, monkeypatch: pytest.MonkeyPatch) -> ThreadedCoordinator:
    monkeypatch.setattr(loop, "_PAUSE_AFTER_FAULT_S", 0.05)
    own_reader(client).prepare()
    return ThreadedCoordinator(own_reader(client), [], duties)


@pytest.mark.django_db(transaction=True)
def test_a_slow_duty_delays_no_outcome_and_duties_after_recording_follow_it(
    own_keys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, seen = make(), threading.Event()

    def wait_for_the_row() -> None:
        stream.report(own_keys, ended(job))
        until_mono = time.monotonic() + limit_s(10)
        while time.monotonic() < until_mono and not Job.objects.ended().exists():
            time.sleep(0.02)
        if Job.objects.ended().exists():
            seen.set()

    slow = Duty("slow", 60.0, wait_for_the_row)
    after_it = Duty("after", 60.0, lambda: seen.is_set() and acting.stop(), after_recording=True)
    acting = threaded([slow, after_it], own_keys, monkeypatch)
    after(limit_s(15), acting.stop)
    acting.run()
    assert seen.is_set()
    assert after_it.due_mono > slow.due_mono, "it ran again after the slow one"


@pytest.mark.django_db(transaction=True)
def test_what_was_taken_before_a_fault_of_the_database_is_recorded_as_soon_as_it_is_over(
    own_keys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, record, faults = make(), recorder.record, iter([OperationalError("gone"), OperationalError("gone")])

    def fail_twice(entries: Any) -> Any:
        if (fault := next(faults, None)) is not None:
            raise fault
        return record(entries)

    begun: list[bool] = []
    monkeypatch.setattr(recorder, "record", fail_twice)
    monkeypatch.setattr(recording, "_ADOPT_IDLE_MS", 3_600_000)  # not by adoption
    # The duties begin again, as after an outage.
    is_over = lambda: True in begun and Job.objects.ended().exists()  # noqa: E731
    stop = Duty("stop", 0.05, lambda: is_over() and acting.stop(), begin=begun.append)
    acting = threaded([stop], own_keys, monkeypatch)
    stream.report(own_keys, ended(job))
    after(limit_s(10), acting.stop)
    acting.run()
    assert is_over()
    assert begun[0] is False
    assert reports(own_keys) == []


@pytest.mark.django_db(transaction=True)
def test_an_error_in_the_thread_that_records_ends_the_coordinator(
    own_keys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "record_new", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        threaded([Duty("d", 0.1, lambda: None)], own_keys, monkeypatch).run()


def test_reports_are_gathered_for_as_long_as_the_load_or_a_duty_asks_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    duty, now = Duty("d", 60.0, lambda: None), [100.0]
    monkeypatch.setattr(pace, "time", SimpleNamespace(monotonic=lambda: now[0]))
    gathering = pace.Pace([duty])
    assert gathering.gather_s() == 0.01
    # A burst, a pause, and one job at a time.
    for recorded, times, expected_s in ((0, 1, 0.01), (500, 1, 0.1), (0, 1, 0.1), (2, 10, 0.01)):
        for _ in range(times):
            now[0] += 0.1
            gathering.note(recorded)
        assert gathering.gather_s() == pytest.approx(expected_s)
    duty.pacing = Pacing(gather_s=0.0)
    assert gathering.gather_s() == 0.0
