"""Queued jobs whose message is nowhere."""

from datetime import timedelta
from typing import Any
from unittest import mock
from uuid import UUID

import pytest
import redis
from django.utils import timezone

from dev.own_redis import OwnRedis
from poolwise.coordinator.recovery import Recovery, queue_check
from poolwise.coordinator.recovery.sweep import _SWEEPS_A_READ
from poolwise.lifecycle import broker_queues, publishing, recorder, stream
from poolwise.models import Job, JobState
from poolwise.support.redis import key
from poolwise.support.timing import Timings
from tests.coordinator.recovery.conftest import Clock
from tests.helpers.core import claim, messages

pytestmark = pytest.mark.django_db


def sweeps(recovery: Recovery, clock: Clock, count: int = 6) -> int:
    """Sweep each second; return how many jobs were recovered in all."""
    recovered = 0
    for _ in range(count):
        recovered += recovery.sweep()
        clock.advance(1.0)
    return recovered


def test_a_lost_message_is_published_again(
    recovery: Recovery, published: Any, clock: Clock, unserved_pool: str, broker: redis.Redis
) -> None:
    lost, kept = published(), published()
    [message] = broker.lrange(unserved_pool, -1, -1)
    broker.lrem(unserved_pool, 1, message)
    assert sweeps(recovery, clock, 4) == 0  # a worker may have just fetched it
    assert sweeps(recovery, clock, 2) == 1
    publishing.publish_due()
    assert {message["headers"]["id"] for message in messages(broker, unserved_pool)} == {
        str(lost.pk),
        str(kept.pk),
    }
    assert sweeps(recovery, clock) == 0


def test_after_redis_lost_its_data_everything_queued_is_published_again(
    recovery: Recovery, published: Any, clock: Clock, unserved_pool: str, broker: redis.Redis
) -> None:
    jobs = [published() for _ in range(5)]
    broker.delete(unserved_pool)
    assert sweeps(recovery, clock) == 5
    assert publishing.publish_due() == 5
    assert len(messages(broker, unserved_pool)) == len(jobs)


def test_after_an_outage_messages_are_looked_for_while_no_worker_is_taken_for_dead(
    recovery: Recovery,
    published: Any,
    make: Any,
    heartbeat: Any,
    clock: Clock,
    unserved_pool: str,
    broker: redis.Redis,
) -> None:
    lost, reserved = published(), published()
    runs = make(pool=unserved_pool, state=JobState.RUNNING, worker="dead@host", started_at=timezone.now())
    broker.delete(unserved_pool)
    heartbeat("dead@host", ago_s=30, reserved=[(str(reserved.pk), 1)])  # of before the outage
    for _ in range(4):
        assert recovery.sweep(is_after_outage=True) == 0, "a worker without heartbeats may still have it"
        clock.advance(1)
    assert recovery.sweep(is_after_outage=True) == 2
    runs.refresh_from_db()
    assert runs.state == JobState.RUNNING
    assert {job.pk for job in Job.objects.unpublished(now=timezone.now())} == {lost.pk, reserved.pk}
    assert recovery.sweep() == 1
    runs.refresh_from_db()
    assert (runs.state, runs.attempt) == (JobState.QUEUED, 2)


def test_all_that_a_worker_had_received_when_its_end_was_seen_is_published_again_at_once(
    recovery: Recovery,
    published: Any,
    heartbeat: Any,
    end: Any,
    clock: Clock,
    unserved_pool: str,
    broker: redis.Redis,
) -> None:
    reserved, received_since, of_other = published(), published(), published()
    broker.delete(unserved_pool)
    heartbeat(pool=unserved_pool, reserved=[(str(reserved.pk), 1)])
    heartbeat("w2@host", pool=unserved_pool, reserved=[(str(of_other.pk), 1)])
    assert recovery.sweep() == 0
    end()
    clock.advance(1)
    assert recovery.sweep() == 2
    assert {job.pk for job in Job.objects.unpublished(now=timezone.now())} == {reserved.pk, received_since.pk}
    publishing.publish_due()
    broker.delete(unserved_pool)  # some other worker has received them, and its next heartbeat contains them
    clock.advance(1)
    assert recovery.sweep() == 1, "only what the dead worker had reserved for certain"


def test_nothing_is_published_again_while_a_report_of_the_worker_that_ended_may_wait(
    recovery: Recovery,
    published: Any,
    heartbeat: Any,
    end: Any,
    clock: Clock,
    unserved_pool: str,
    broker: redis.Redis,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job = published()
    broker.delete(unserved_pool)
    heartbeat(pool=unserved_pool, reserved=[(str(job.pk), 1)])
    recovery.sweep()
    end()
    monkeypatch.setattr(stream, "backlog_s", lambda client: 0.9)
    clock.advance(1)
    assert recovery.sweep() == 0
    clock.advance(1)
    assert recovery.sweep() == 1


def test_jobs_whose_ends_wait_to_be_recorded_are_not_published_again(
    recovery: Recovery,
    published: Any,
    heartbeat: Any,
    clock: Clock,
    unserved_pool: str,
    broker: redis.Redis,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reported, received = published(), published()
    broker.delete(unserved_pool)
    heartbeat("dead@host", ago_s=30, reserved=[(str(received.pk), 1)])
    backlog_s = 20.0
    monkeypatch.setattr(stream, "backlog_s", lambda client: backlog_s)
    assert sweeps(recovery, clock, 20) == 0, "their reports may be among the unrecorded ones"
    # The oldest that is unrecorded now is younger than the absence: neither has a report.
    backlog_s = 3.0
    assert sweeps(recovery, clock, 5) == 2
    assert {job.pk for job in Job.objects.unpublished(now=timezone.now())} == {reported.pk, received.pk}


def test_a_coordinator_that_is_far_behind_seldom_reads_the_queues(
    recovery: Recovery,
    published: Any,
    clock: Clock,
    unserved_pool: str,
    broker: redis.Redis,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    published()
    broker.delete(unserved_pool)
    read: list[str] = []
    begin = queue_check.QueueCheck.begin

    def note(self: queue_check.QueueCheck, *, all_count: bool) -> None:
        read.append(self.pool)
        begin(self, all_count=all_count)

    monkeypatch.setattr(queue_check.QueueCheck, "begin", note)
    monkeypatch.setattr(stream, "backlog_s", lambda client: 100.0)
    sweeps(recovery, clock, 20)
    assert len(read) == 4


def give_back(job: Job, own_keys: Any) -> None:
    """Have a worker begin a job and give it back at its shutdown."""
    place = stream.Place("stopped@host", 42)
    started = stream.Started(str(job.pk), job.attempt, place, Timings())
    released = stream.Outcome(str(job.pk), job.attempt, place, Timings(), stream.Ending.RELEASED)
    assert claim(own_keys, started, stream.claim_token(place.worker)) is stream.Claim.CLAIMED
    stream.report(own_keys, released)
    recorder.record([started, released])


def test_what_was_given_back_and_waits_for_a_slot_is_not_published_again(
    recovery: Recovery, published: Any, clock: Clock, unserved_pool: str, broker: redis.Redis, own_keys: Any
) -> None:
    give_back(published(), own_keys)
    assert sweeps(recovery, clock, 2 * _SWEEPS_A_READ) == 0
    with mock.patch.object(timezone, "now", return_value=timezone.now() + timedelta(hours=1)):
        assert publishing.publish_due() == 0
    assert len(messages(broker, unserved_pool)) == 1


@pytest.mark.parametrize("duplicate", [0, 1])
def test_what_was_given_back_and_got_lost_on_its_way_to_the_queue_is_published_again(
    recovery: Recovery,
    published: Any,
    clock: Clock,
    unserved_pool: str,
    broker: redis.Redis,
    own_keys: Any,
    duplicate: int,
) -> None:
    job = published()
    give_back(job, own_keys)
    broker.delete(unserved_pool)
    for _ in range(duplicate):
        broker.lpush(unserved_pool, "a message of something else")
    # A queue that is as long as it should be is read in its turn.
    assert sweeps(recovery, clock, 6 + duplicate * _SWEEPS_A_READ) == 1
    assert publishing.publish_due() == 1


@pytest.mark.parametrize("is_over", [True, False])
def test_what_was_published_again_is_known_as_begun_for_as_long_as_the_other_message_may_wait(
    recovery: Recovery,
    published: Any,
    clock: Clock,
    unserved_pool: str,
    broker: redis.Redis,
    own_keys: Any,
    is_over: bool,
) -> None:
    job = published()
    [out_of_sight] = broker.lrange(unserved_pool, 0, -1)
    broker.delete(unserved_pool)
    started = stream.Started(str(job.pk), 1, stream.Place("w1@host"), Timings())
    ended = stream.Outcome(str(job.pk), 1, started.place, Timings(), stream.Ending.SUCCEEDED)

    def run() -> None:
        assert claim(own_keys, started, "t") is stream.Claim.CLAIMED
        stream.report(own_keys, ended)

    if is_over:  # and it is not recorded yet
        run()
    assert sweeps(recovery, clock) == 1
    assert publishing.publish_due() == 1
    broker.rpush(unserved_pool, out_of_sight)
    assert len(messages(broker, unserved_pool)) == 2
    if not is_over:
        run()
    assert own_keys.ttl(key("claim", job.pk, 1)) > 29 * 86_400


def test_what_was_published_again_has_its_time_before_it_is_so_once_more(
    recovery: Recovery, published: Any, clock: Clock, unserved_pool: str, broker: redis.Redis
) -> None:
    published()
    broker.delete(unserved_pool)
    assert sweeps(recovery, clock, 5) == 1
    assert publishing.publish_due() == 1
    broker.delete(unserved_pool)  # a worker has it, and its next heartbeat will contain it
    assert sweeps(recovery, clock, 4) == 0
    assert sweeps(recovery, clock, 2) == 1


def test_what_a_living_worker_reserved_is_not_missing(
    recovery: Recovery, published: Any, heartbeat: Any, clock: Clock, unserved_pool: str, broker: redis.Redis
) -> None:
    job = published()
    broker.delete(unserved_pool)
    for _ in range(8):
        heartbeat(reserved=[(str(job.pk), 1)])
        assert recovery.sweep() == 0
        clock.advance(1)


def test_what_a_dead_worker_had_only_received_is_published_at_once_as_the_same_attempt(
    recovery: Recovery, published: Any, heartbeat: Any, unserved_pool: str, broker: redis.Redis
) -> None:
    job = published()
    broker.delete(unserved_pool)
    heartbeat("dead@host", ago_s=6, reserved=[(str(job.pk), 1)])
    assert recovery.sweep() == 1
    job.refresh_from_db()
    assert (job.state, job.attempt, job.is_published) == (JobState.QUEUED, 1, False)


def test_the_message_of_an_older_attempt_does_not_stand_for_the_newer(
    recovery: Recovery, published: Any, clock: Clock
) -> None:
    job = published()
    Job.objects.filter(pk=job.pk).update(attempt=2)
    # The queue is as long as it should be: it is read in its turn, and from then on each time.
    assert sweeps(recovery, clock, _SWEEPS_A_READ - 1) == 0
    assert sweeps(recovery, clock, 6) == 1


def test_what_is_missing_is_found_under_a_steady_load_of_other_pools(
    recovery: Recovery, published: Any, heartbeat: Any, clock: Clock, unserved_pool: str, broker: redis.Redis
) -> None:
    published()
    broker.delete(unserved_pool)
    heartbeat(reserved=[(f"busy-{number}", 1) for number in range(200)])
    assert sweeps(recovery, clock) == 1


def test_queues_as_long_as_they_should_be_are_seldom_read(
    recovery: Recovery, published: Any, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    published()
    read: list[str] = []
    begin = queue_check.QueueCheck.begin

    def note(self: queue_check.QueueCheck, *, all_count: bool) -> None:
        read.append(self.pool)
        begin(self, all_count=all_count)

    monkeypatch.setattr(queue_check.QueueCheck, "begin", note)
    sweeps(recovery, clock, 2 * _SWEEPS_A_READ)
    assert len(read) == 2


def test_jobs_not_yet_published_and_jobs_of_undeclared_pools_are_not_looked_for(
    recovery: Recovery, make: Any, clock: Clock
) -> None:
    make(due_at=timezone.now())
    make(pool="gone", due_at=None)
    assert sweeps(recovery, clock, 8) == 0


def test_a_long_queue_is_read_whole(
    published: Any, make: Any, unserved_pool: str, broker: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker_queues, "_CHUNK", 3)
    jobs = [published() for _ in range(8)]
    broker.lpush(unserved_pool, "no message", '{"headers": {}}', '{"headers": null}', "[]")
    reading, steps = broker_queues.Reading(unserved_pool), 1
    while not reading.read(3):
        steps += 1
    assert (reading.found, steps) == ({(str(job.pk), 1) for job in jobs}, 5)
    assert broker_queues.length(unserved_pool) == 12


def test_a_broker_that_is_away_recovers_no_job_and_harms_nothing(
    own_redis: OwnRedis, make: Any, settings: Any, clock: Clock
) -> None:
    from poolwise.support.errors import BrokerUnavailable

    make(due_at=None)
    own_redis.start()
    assert broker_queues.length("threads") == 0
    own_redis.kill()
    with pytest.raises(BrokerUnavailable, match="does not answer"):
        broker_queues.length("threads")
    own_redis.start()
    reading = broker_queues.Reading("threads")
    assert reading.read(1)
    assert reading.found == set()


@pytest.mark.parametrize("turned", [0, 3])
def test_what_is_missing_in_a_long_queue_is_found_slice_by_slice(
    recovery: Recovery,
    published: Any,
    clock: Clock,
    unserved_pool: str,
    broker: redis.Redis,
    monkeypatch: pytest.MonkeyPatch,
    turned: int,
) -> None:
    monkeypatch.setattr(broker_queues, "_CHUNK", 2)
    monkeypatch.setattr(queue_check, "STEP", 4)
    jobs = [published() for _ in range(20)]
    for message in broker.lrange(unserved_pool, 5, 6):
        broker.lrem(unserved_pool, 1, message)
    for _ in range(turned):  # a worker receives some and gives them back, again and again
        recovery.sweep()
        broker.lmove(unserved_pool, unserved_pool, "RIGHT", "LEFT")
        clock.advance(0.1)
    lost = {job.pk for job in jobs} - {
        UUID(message["headers"]["id"]) for message in messages(broker, unserved_pool)
    }
    for _ in range(100):
        assert recovery.sweep() in (0, 2)
        if again := set(Job.objects.unpublished(now=timezone.now()).values_list("pk", flat=True)):
            break
        clock.advance(0.5)
    assert again == lost


def test_much_that_is_missing_is_published_again_by_and_by_between_sweeps(
    recovery: Recovery,
    published: Any,
    clock: Clock,
    unserved_pool: str,
    broker: redis.Redis,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(queue_check, "GONE_A_STEP", 2)
    for _ in range(5):
        published()
    broker.delete(unserved_pool)
    assert sweeps(recovery, clock, 5) == 2
    assert recovery.is_urgent
    assert [recovery.read_on() for _ in range(3)] == [2, 1, 0]
    assert not recovery.is_urgent


def test_a_messages_attempt_is_read_the_same_with_and_without_decoding(
    published: Any, unserved_pool: str, broker: redis.Redis
) -> None:
    job = published(params={"text": '"id": "00000000-0000-0000-0000-000000000000"'}, attempt=3)
    [raw] = broker.lrange(unserved_pool, 0, 0)
    assert broker_queues._ATTEMPT.search(raw.encode())
    assert broker_queues.attempt_of(raw) == broker_queues.attempt_of(raw.encode()) == (str(job.pk), 3)
