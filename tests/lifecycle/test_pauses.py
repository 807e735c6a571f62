"""Pauses: their rows and their copy in Redis, the claims that they refuse, and the worker that follows them."""

import time
from contextlib import suppress
from typing import Any
from unittest import mock
from uuid import uuid4

import pytest
import redis
from django.conf import settings

from dev.own_redis import OwnRedis
from poolwise.control import pause, purge, resume
from poolwise.lab import plan
from poolwise.lab.progress import waits_for
from poolwise.lifecycle import cancellation, heartbeats, pauses, publishing, recorder, stream
from poolwise.lifecycle.heartbeats import COORDINATOR, Heartbeat
from poolwise.lifecycle.pauses import Paused, copy_database, read_copy, write_copy
from poolwise.lifecycle.stream import Claim, Ending, Outcome, Place, Started
from poolwise.models import AuditEntry, Job, JobQuerySet, JobState, Pause
from poolwise.support.errors import InvalidParameters, UnknownPool
from poolwise.support.timing import Timings
from poolwise.worker import pause_watcher
from poolwise.worker.pause_watcher import PauseWatcher
from tests.helpers.core import claim, reports
from tests.helpers.pace import limit_s

pytestmark = pytest.mark.django_db


def started(job_id: str, attempt: int = 1) -> Started:
    return Started(job_id, attempt, Place("w@h", 1), Timings())


def make(**fields: Any) -> Job:
    return Job.objects.create(**({"definition": "io.wait", "kind": "io", "pool": "gevent"} | fields))


def test_the_copy_equals_the_database_and_none_is_not_nothing(own_keys: redis.Redis) -> None:
    assert read_copy(own_keys) is None
    Pause.objects.create(kind="pool", name="gevent", state="paused")
    Pause.objects.create(kind="definition", name="io.wait:x", state="paused")
    write_copy(own_keys, pauses.paused_now())
    assert read_copy(own_keys) == Paused({"gevent": "paused"}, {"io.wait:x": "paused"})
    Pause.objects.all().delete()
    write_copy(own_keys, pauses.paused_now())
    assert read_copy(own_keys) == Paused()


def test_a_coordinator_that_read_before_a_pause_does_not_undo_it(
    own_keys: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The operator's process pauses and writes the copy between the coordinator's read and its write."""
    stock, calls = pauses.paused_now, []

    def read_and_pause() -> Paused:
        read = stock()
        calls.append(read)
        if len(calls) == 1:
            with redis.Redis.from_url(settings.REDIS_URL, decode_responses=True) as operator:
                Pause.objects.create(kind="pool", name="gevent", state="paused")
                write_copy(operator, stock())
        return read

    monkeypatch.setattr(pauses, "paused_now", read_and_pause)
    copy_database(own_keys)
    assert read_copy(own_keys) == Paused({"gevent": "paused"})
    assert len(calls) == 2


@pytest.mark.parametrize("paused", [Paused({"gevent": "draining"}), Paused({}, {"io.wait": "paused"})])
def test_a_claim_of_what_is_paused_gives_the_attempt_back_until_it_is_resumed(
    own_keys: redis.Redis, paused: Paused
) -> None:
    job = make(due_at=None)
    of = {"pool": "gevent", "definition": "io.wait"}
    write_copy(own_keys, paused)
    assert claim(own_keys, started(str(job.pk)), "t", **of) is Claim.PAUSED
    recorder.record(reports(own_keys))
    job.refresh_from_db()
    assert (job.state, job.attempt, job.due_at, job.worker) == (JobState.QUEUED, 1, job.created_at, "")
    write_copy(own_keys, Paused({"threads": "paused"}, {"io.waits": "paused"}))
    assert claim(own_keys, started(str(job.pk)), "t", **of) is Claim.CLAIMED


def test_what_was_given_back_does_not_touch_a_job_that_runs_or_has_ended(own_keys: redis.Redis) -> None:
    write_copy(own_keys, Paused({"gevent": "paused"}))
    for state in (JobState.RUNNING, JobState.CANCELLED):
        job = make(state=state)
        claim(own_keys, started(str(job.pk)), "t", pool="gevent")
        assert recorder.record(reports(own_keys)[-1:]).stale == 1
        job.refresh_from_db()
        assert (job.state, job.due_at) == (state, None)


def test_a_running_claim_asked_again_is_not_given_back(own_keys: redis.Redis) -> None:
    job_id = str(uuid4())
    assert claim(own_keys, started(job_id), "t", pool="gevent") is Claim.CLAIMED
    write_copy(own_keys, Paused({"gevent": "paused"}))
    assert claim(own_keys, started(job_id), "t", pool="gevent") is Claim.CLAIMED


def test_paused_jobs_are_not_published_and_are_in_order_once_they_may(
    own_keys: redis.Redis, unserved_pool: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[Job] = []
    monkeypatch.setattr(publishing._Sender, "send_or_postpone", lambda sender, job: not sent.append(job))
    first, second = (make(pool=unserved_pool) for _ in range(2))
    Job.objects.filter(pk=second.pk).update(due_at=second.created_at)
    Job.objects.filter(pk=first.pk).update(due_at=first.created_at)
    Pause.objects.create(kind="pool", name=unserved_pool, state="paused")
    assert publishing.publish_due() == 0
    assert publishing.publish([first], budget_s=1.0) == 0
    Pause.objects.all().delete()
    assert publishing.publish_due() == 2
    assert sent == [first, second]


class Loop:
    """A worker's consumer, as far as a pause watcher uses it."""

    def __init__(self) -> None:
        self.task_consumer: Any = self
        self.queues = {"q"}
        self.is_running = True

    def call_soon(self, call: Any) -> None:
        call()

    def consuming_from(self, queue: str) -> bool:
        return queue in self.queues

    def cancel_task_queue(self, queue: str) -> None:
        self.queues.remove(queue)

    def add_task_queue(self, queue: str) -> None:
        assert queue not in self.queues
        self.queues.add(queue)


def test_a_pause_watcher_keeps_the_last_state_while_the_copy_or_redis_is_missing(
    own_keys: redis.Redis,
) -> None:
    loop, watcher = Loop(), PauseWatcher()
    watcher._consumer, watcher._pool, watcher._queue = loop, "gevent", "q"
    write_copy(own_keys, Paused({"gevent": "paused"}))
    watcher.check(own_keys)
    assert not loop.queues
    own_keys.delete(stream.pauses_key())
    watcher.check(own_keys)
    assert not loop.queues
    loop.task_consumer = None  # between two connections
    watcher.check(own_keys)
    loop.task_consumer, loop.queues = loop, {"q"}  # a new connection consumes at first
    watcher.check(own_keys)
    assert not loop.queues
    write_copy(own_keys, Paused())
    loop.is_running = False  # the worker ends: it has cancelled its consumer itself
    watcher.check(own_keys)
    assert not loop.queues
    loop.is_running = True
    watcher.check(own_keys)
    assert loop.queues == {"q"}


def test_a_pause_watcher_outlives_whatever_its_check_raises(
    eventually: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    checks: list[int] = []

    def check(self: PauseWatcher, client: Any) -> None:
        checks.append(1)
        raise ValueError("a mistake")

    monkeypatch.setattr(pause_watcher, "_CHECK_EVERY_S", 0.01)
    monkeypatch.setattr(PauseWatcher, "check", check)
    watcher = PauseWatcher()
    watcher.start(Loop(), "gevent", "q")
    eventually(lambda: len(checks) > 2)
    watcher.stop()


def test_a_pause_while_redis_is_away_is_stored_and_workers_follow_later(
    own_redis: OwnRedis,
) -> None:
    began = time.monotonic()
    result = pause("pool", "gevent", user=None, reason="x")
    assert (result.is_in_redis, Pause.objects.count()) == (False, 1)
    assert "Redis does not answer; the workers follow when it does" in result.text
    assert time.monotonic() - began < limit_s(2)


def test_what_is_unknown_cannot_be_paused_but_what_was_paused_can_always_be_resumed(
    own_keys: redis.Redis,
) -> None:
    with pytest.raises(UnknownPool):
        pause("pool", "gone", user=None, reason="x")
    with pytest.raises(UnknownPool):
        resume("pool", "gone", user=None, reason="x")
    with pytest.raises(UnknownPool):
        purge("gone", user=None, reason="x")
    with pytest.raises(InvalidParameters, match="At most 300"):
        pause("pool", "gevent", user=None, reason="x" * 301)
    Pause.objects.create(kind="pool", name="gone", state="paused")
    assert resume("pool", "gone", user=None, reason="x").has_changed
    assert list(AuditEntry.objects.values_list("action", "target")) == [("resume", "pool gone")]


def test_a_purge_leaves_what_runs_and_the_queued_jobs_of_a_pool_that_is_gone_go(
    own_keys: redis.Redis,
) -> None:
    running, queued = make(state=JobState.RUNNING, pool="gone"), make(pool="gone")
    assert purge("gone", user=None, reason="x").cancelled == 1
    running.refresh_from_db()
    queued.refresh_from_db()
    assert (running.state, queued.state) == (JobState.RUNNING, JobState.CANCELLED)


def test_a_purge_leaves_what_began_a_moment_ago_to_finish_and_counts_it_not(own_keys: redis.Redis) -> None:
    jobs = [make(pool="gone") for _ in range(3)]
    runs = str(jobs[1].pk)
    claim(own_keys, started(runs), "t")
    assert purge("gone", user=None, reason="x").cancelled == 2
    assert claim(own_keys, started(str(jobs[0].pk)), "t") is Claim.CANCELLED
    assert claim(own_keys, started(runs, attempt=2), "t") is Claim.CLAIMED  # it may be tried again
    recorder.record(
        [started(runs), Outcome(runs, 1, Place("w@h", 1), Timings(), Ending.SUCCEEDED, result="1")]
    )
    states = [Job.objects.get(pk=job.pk).state for job in jobs]
    assert states == [JobState.CANCELLED, JobState.SUCCEEDED, JobState.CANCELLED]


def test_a_purge_that_cannot_notify_the_workers_leaves_that_to_the_coordinator(
    own_keys: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make(pool="gone")
    with monkeypatch.context() as patch:
        patch.setattr(stream, "mark_unclaimed", mock.Mock(side_effect=redis.TimeoutError("frozen")))
        purge("gone", user=None, reason="x")
    job.refresh_from_db()
    assert (job.state, job.due_at) == (JobState.CANCELLED, job.finished_at)
    assert cancellation.settle(own_keys) == 1
    assert claim(own_keys, started(str(job.pk)), "t") is Claim.CANCELLED


def test_a_purge_that_dies_before_the_database_is_finished_by_the_workers_that_meet_its_marks(
    own_keys: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make(pool="gone")
    with monkeypatch.context() as patch, suppress(KeyboardInterrupt):
        patch.setattr(JobQuerySet, "update_in_order", mock.Mock(side_effect=KeyboardInterrupt))
        purge("gone", user=None, reason="x")
    assert claim(own_keys, started(str(job.pk)), "t") is Claim.CANCELLED
    recorder.record(reports(own_keys))
    job.refresh_from_db()
    assert job.state == JobState.CANCELLED


def test_a_purge_that_notified_the_workers_leaves_nothing_to_the_coordinator(own_keys: redis.Redis) -> None:
    make(pool="gone")
    purge("gone", user=None, reason="x")
    assert cancellation.settle(own_keys) == 0


def test_a_comparison_on_a_paused_pool_says_what_it_waits_for(own_keys: redis.Redis) -> None:
    heartbeats.send(own_keys, Heartbeat("gevent@x", "gevent", 1, "x", slots=2))
    heartbeats.send(own_keys, Heartbeat("c", COORDINATOR, 1, "x"))
    comparison = plan("io.wait", {"duration_s": 0.1}, ["gevent"], 2)
    assert waits_for(comparison) == ("gevent", "")
    Pause.objects.create(kind="pool", name="gevent", state="paused")
    assert waits_for(comparison)[1].startswith("The pool gevent is paused")
