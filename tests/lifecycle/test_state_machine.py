"""The life of jobs under every order of events that Hypothesis can think of.

Three workers claim and report by the real scripts of Redis; they may stop, die, come back and report things
twice. The recorder gets the stream's entries out of order and again. The clock is a fake one. What the broker and the
coordinator's recovery do is a model of a few lines: messages come twice or go missing, and what nobody has reserved
is tried or published again.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock
from uuid import UUID

import pytest
import redis
from django.utils import timezone
from django_celery_results.models import TaskResult
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from poolwise.lifecycle import broker, publishing, recorder, stream, submission
from poolwise.lifecycle.stream import Claim, Ending, Entry, Outcome, Place, Started
from poolwise.models import ENDED, Job, JobLog, JobState
from poolwise.support.timing import Timings
from tests.helpers.core import claim

pytestmark = pytest.mark.django_db

Attempt = tuple[str, int]
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
#: Of a job that has ended, nothing of this may ever change.
FROZEN = ("state", "attempt", "history", "finished_at", "recorded_at", "error", "worker", "run_s", "due_at")
POOL = "threads"
#: Some ten seconds; POOLWISE_EXAMPLES=2000 searches longer, and differently each time.
EXAMPLES = int(os.environ.get("POOLWISE_EXAMPLES", "40"))
FATES = (
    "runs", "runs", "succeeded", "failed", "fails and is tried again", "cancelled", "lost", "stops", "dies",
    "freezes",
)  # fmt: skip
MOST_JOBS = 6
STEPS = (
    *["a worker takes a message"] * 6, *["a run goes on"] * 3, *["the coordinator records"] * 3,
    *["the coordinator recovers"] * 3, "a person acts", "a message goes missing", "a report is sent twice",
    "a late report arrives", "a late report arrives", "a coordinator takes and dies", "the coordinator adopts",
    "a batch is recorded again",
)  # fmt: skip


class Life(RuleBasedStateMachine):
    """Jobs, messages, runs and entries, and what must hold of them whatever happens."""

    client: redis.Redis
    data: st.DataObject

    def __init__(self) -> None:
        super().__init__()
        for model in (Job, TaskResult, JobLog):
            model.objects.all().delete()
        if keys := self.client.keys("machine:*"):
            self.client.delete(*keys)
        self.now = BEGIN
        self.clock = mock.patch.object(timezone, "now", side_effect=lambda: self.now)
        self.clock.start()
        self.reader = stream.Reader(self.client, "machine")
        self.reader.prepare()
        self.workers = ["w1", "w2", "w3"]
        self.names = 3  # a worker that starts again has a new name
        self.messages: list[Attempt] = []
        self.runs: dict[Attempt, str] = {}  # by living workers
        self.undead: list[tuple[Attempt, str]] = []  # frozen ones, which were taken for dead
        self.batches: list[list[tuple[str, Entry]]] = []  # read and not recorded
        self.reported: list[Outcome] = []
        self.outcomes: dict[float, Outcome] = {}
        self.recorded: list[list[Entry]] = []
        self.ended: dict[str, dict[str, Any]] = {}
        self.submitted: list[str] = []
        self.tokens = 0

    def teardown(self) -> None:
        """Let everything come to its end: no job may be left behind."""
        try:
            self._come_to_rest()
            left = list(Job.objects.live().values("state", "attempt", "worker", "due_at"))
            assert not left, left
            self.all_is_well()
            assert {str(pk) for pk in Job.objects.values_list("pk", flat=True)} == set(self.submitted)
        finally:
            self.clock.stop()

    def _come_to_rest(self) -> None:
        for _ in range(40):
            if not Job.objects.live().exists():
                return
            self.now += timedelta(minutes=1)
            self.publish()
            while self.messages:
                self._claim(self.workers[0], self.messages.pop(0))
            for attempt in list(self.runs):
                self._end(attempt, Ending.SUCCEEDED)
            while self.batches:
                self._record(self.batches.pop(0))
            self._record(self.read(500))
            self.recover()

    # --- people
    @initialize(limits=st.lists(st.integers(1, 3), min_size=2, max_size=4))
    def begin(self, limits: list[int]) -> None:
        for limit in limits:
            self.submit(limit, is_published=True)

    # One rule, and the draw weighted by hand: among many rules hardly a job would come to its second attempt.
    @rule(data=st.data(), what=st.sampled_from(STEPS))
    def happens(self, data: st.DataObject, what: str) -> None:
        self.data = data
        getattr(self, what.replace(" ", "_"))()

    def draw[T](self, values: Sequence[T]) -> T:
        return self.data.draw(st.sampled_from(values))

    def submit(self, max_attempts: int, *, is_published: bool) -> None:
        [job] = submission.submit("endings.succeed", {}, pool=POOL)
        Job.objects.filter(pk=job.pk).update(max_attempts=max_attempts)
        self.submitted.append(str(job.pk))
        if is_published:
            self._published([job])

    def a_person_acts(self) -> None:
        job = Job.objects.get(pk=self.draw(self.submitted))
        if self.draw((True, False)):
            had_ended = job.has_ended
            outcome = submission.cancel(job, user=None)
            assert (outcome is submission.CancelOutcome.ENDED) == had_ended
        elif len(self.submitted) < MOST_JOBS:
            again = submission.run_again(job, user=None)
            assert (again.parent_id, again.attempt, again.state) == (job.pk, 1, JobState.QUEUED)
            self.submitted.append(str(again.pk))

    def _in_order(self, jobs: Iterable[Job]) -> list[Job]:
        """Sort by submission: ids are random, and Hypothesis has to be able to play a run again."""
        return sorted(jobs, key=lambda job: self.submitted.index(str(job.pk)))

    # --- the broker, and what the coordinator does for it
    def _published(self, jobs: list[Job]) -> None:
        self.messages += [(str(job.pk), job.attempt) for job in jobs]
        publishing._mark_published(jobs)

    def publish(self, after_s: int = 30) -> None:
        self.now += timedelta(seconds=after_s)
        self._published(self._in_order(Job.objects.unpublished(now=self.now)))

    def a_message_goes_missing(self) -> None:
        if self.messages:
            self.messages.remove(self.draw(self.messages))

    def recover(self) -> None:
        """Try again what no living worker runs, publish again what nobody has; as `poolwise.coordinator.recovery` does."""
        if self.batches:
            return  # the database is behind
        lost = [
            self._outcome((str(job.pk), job.attempt), job.worker, Ending.LOST)
            for job in self._in_order(Job.objects.running())
            if self.runs.get((str(job.pk), job.attempt)) != job.worker
        ]
        self._fold(lost)
        for job in self._in_order(Job.objects.queued().filter(due_at=None)):
            attempt = (str(job.pk), job.attempt)
            if attempt not in self.runs and attempt not in self.messages:
                Job.objects.filter(pk=job.pk).update(due_at=self.now)

    # --- workers
    def _timings(self, run_s: float | None = None) -> Timings:
        now = self.now.timestamp()
        return Timings(now, now, now, None if run_s is None else now + run_s, 0.0, 0.0, run_s)

    def a_worker_takes_a_message(self) -> None:
        """It claims the attempt, and what becomes of it is drawn; now and then the message comes again."""
        if not self.messages:
            self.publish()
        if self.messages:
            attempt = self.draw(self.messages)
            if self.draw((True, True, False)):
                self.messages.remove(attempt)
            self._claim(self.draw(self.workers), attempt)
            if attempt in self.runs:
                self._meet(attempt, self.draw(FATES))

    def a_run_goes_on(self) -> None:
        if self.runs:
            self._meet(self.draw(list(self.runs)), self.draw(FATES))

    def _meet(self, attempt: Attempt, fate: str) -> None:
        if fate in ("stops", "dies", "freezes"):
            self._worker_ends(self.runs[attempt], fate)
        elif fate == "fails and is tried again":
            self._end(attempt, Ending.FAILED, 20.0)
        elif fate != "runs":
            self._end(attempt, Ending(fate))

    def _claim(self, worker: str, attempt: Attempt) -> None:
        self.tokens += 1
        self.now += timedelta(milliseconds=10)
        started = Started(*attempt, Place(worker, 1), self._timings())
        token = f"{worker} {self.tokens}"
        answer = claim(self.client, started, token)
        if answer is Claim.CLAIMED:
            assert attempt not in self.runs, "two living workers run one attempt"
            assert claim(self.client, started, token) is Claim.CLAIMED  # the answer was lost: ask again
            self.runs[attempt] = worker

    def _end(self, attempt: Attempt, ending: Ending, retry_in_s: float | None = None) -> None:
        self._report(attempt, self.runs.pop(attempt), ending, retry_in_s if ending is Ending.FAILED else None)

    def _outcome(
        self, attempt: Attempt, worker: str, ending: Ending, retry_in_s: float | None = None
    ) -> Outcome:
        result = '"done"' if ending is Ending.SUCCEEDED else None
        timings = self._timings(1.0 + len(self.outcomes))  # no two outcomes are alike
        outcome = Outcome(*attempt, Place(worker, 1), timings, ending, result=result, retry_in_s=retry_in_s)
        self.outcomes[outcome.timings.run_s or 0.0] = outcome
        return outcome

    def _report(self, attempt: Attempt, worker: str, ending: Ending, retry_in_s: float | None = None) -> None:
        outcome = self._outcome(attempt, worker, ending, retry_in_s)
        self.reported.append(outcome)
        stream.report(self.client, outcome)

    def a_report_is_sent_twice(self) -> None:
        # Not a release: its worker has ended, and with it what could send it again.
        if reported := [outcome for outcome in self.reported if outcome.ending is not Ending.RELEASED]:
            stream.report(self.client, self.draw(reported))

    def _worker_ends(self, worker: str, how: str) -> None:
        """It gives back what it runs, or dies, or is taken for dead and speaks later."""
        self.names += 1
        self.workers[self.workers.index(worker)] = f"w{self.names}"
        for attempt in [attempt for attempt, name in self.runs.items() if name == worker]:
            if how == "stops":
                self._end(attempt, Ending.RELEASED)
                self.messages.append(attempt)
            else:
                del self.runs[attempt]
                if how == "freezes":
                    self.undead.append((attempt, worker))

    def a_late_report_arrives(self) -> None:
        if self.undead:
            attempt, worker = self.draw(self.undead)
            self.undead.remove((attempt, worker))
            self._report(attempt, worker, self.draw((Ending.SUCCEEDED, Ending.FAILED)))

    # --- the recorder
    def the_coordinator_records(self) -> None:
        self._record(self.read(500))

    def the_coordinator_recovers(self) -> None:
        self._record(self.read(500))
        self.recover()
        self.publish()

    def a_coordinator_takes_and_dies(self) -> None:
        """What it took comes late and out of order: another one adopts it."""
        if batch := self.read(self.draw((1, 2, 3))):
            self.batches.append(batch)

    def the_coordinator_adopts(self) -> None:
        if self.batches:
            batch = self.batches.pop(self.draw(range(len(self.batches))))
            self._record(self.data.draw(st.permutations(batch)))

    def read(self, count: int) -> list[tuple[str, Entry]]:
        raw = self.reader.read(count=count, block_ms=0)
        return [(entry_id, stream.decode(text)) for entry_id, text in raw]

    def _record(self, batch: list[tuple[str, Entry]]) -> None:
        entries = [entry for _, entry in batch]
        self._fold(entries)
        self.reader.acknowledge([entry_id for entry_id, _ in batch])
        self.recorded.append(entries)

    def _fold(self, entries: list[Entry]) -> None:
        """Record, and see that a report of an attempt that is over, or not started yet, changes nothing."""
        attempts = dict(Job.objects.values_list("pk", "attempt"))
        stale = {entry.job_id for entry in entries} - {
            entry.job_id for entry in entries if attempts[UUID(entry.job_id)] == entry.attempt
        }
        before = list(Job.objects.filter(pk__in=stale).order_by("pk").values())
        recorder.record(entries)
        assert before == list(Job.objects.filter(pk__in=stale).order_by("pk").values())

    def a_batch_is_recorded_again(self) -> None:
        """The coordinator died between its commit and the acknowledgement."""
        if not self.recorded:
            return
        entries = self.recorded[self.draw(range(len(self.recorded)))]
        released = {o.job_id for o in self.reported if o.ending is Ending.RELEASED}
        names = ("state", "attempt", "history", "finished_at", "worker")
        before = list(Job.objects.exclude(pk__in=released).order_by("pk").values(*names))
        results = list(TaskResult.objects.order_by("pk").values("task_id", "status", "result"))
        recorder.record(entries)
        assert before == list(Job.objects.exclude(pk__in=released).order_by("pk").values(*names))
        assert results == list(TaskResult.objects.order_by("pk").values("task_id", "status", "result"))

    # --- the invariants; with few queries, since they are checked after every step
    @invariant()
    def all_is_well(self) -> None:
        jobs = {str(row.pop("pk")): row for row in Job.objects.values("pk", "max_attempts", *FROZEN)}
        ended = {pk: row for pk, row in jobs.items() if row["state"] in ENDED}
        assert len(jobs) == len(self.submitted), "a job came or went"
        self._has_stayed_as_it_was(ended)
        for row in jobs.values():
            assert row["attempt"] <= row["max_attempts"]
            assert [past["attempt"] for past in row["history"]] == list(range(1, row["attempt"]))
        for pk, row in ended.items():
            if row["run_s"] is not None:  # an outcome is what its own attempt reported
                outcome = self.outcomes[row["run_s"]]
                assert (outcome.job_id, outcome.attempt) == (pk, row["attempt"])
        reported = {JobState.SUCCEEDED: "SUCCESS", JobState.FAILED: "FAILURE", JobState.CANCELLED: "REVOKED"}
        for pk, status in TaskResult.objects.values_list("task_id", "status"):
            assert pk not in ended or status in (reported[JobState(ended[pk]["state"])], "RETRY")

    def _has_stayed_as_it_was(self, ended: dict[str, dict[str, Any]]) -> None:
        for pk, row in self.ended.items():
            assert ended[pk] == row, "an outcome changed"
        self.ended = ended


@pytest.fixture
def machine(
    redis_client: redis.Redis, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> Iterator[type[Life]]:
    settings.JOB_KEY_PREFIX = "machine:"
    monkeypatch.setattr(broker, "ask_workers", lambda *_, **__: None)  # no worker listens
    Life.client = redis_client
    yield Life
    if keys := redis_client.keys("machine:*"):
        redis_client.delete(*keys)


def test_no_order_of_events_loses_a_job_or_records_it_twice(machine: type[Life]) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            derandomize="POOLWISE_EXAMPLES" not in os.environ,
            database=None,
        ),
    )


def test_a_release_that_is_recorded_after_the_next_worker_died_leaves_no_job_behind(
    machine: type[Life],
) -> None:
    """The coordinator that took the release died; another one adopts it when the next holder has come and gone."""
    life = machine()
    life.submit(3, is_published=True)
    [attempt] = life.messages
    life._claim("w1", life.messages.pop())
    life.the_coordinator_records()
    life._worker_ends("w1", "stops")
    life.batches.append(life.read(1))
    life._claim("w2", life.messages.pop())
    life.the_coordinator_records()
    assert life.runs == {attempt: "w2"}
    life._worker_ends("w2", "dies")
    life._record(life.batches.pop())
    life.teardown()
