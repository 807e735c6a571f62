"""A definition whose jobs end one worker after the other is paused."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from structlog.testing import capture_logs

from poolwise.coordinator.recording import record_new
from poolwise.lifecycle import pauses, stream
from poolwise.lifecycle.stream import Ending, Outcome, Place, Reader
from poolwise.models import AuditEntry, Job, JobState, Pause
from poolwise.support.timing import Timings, wall_now

pytestmark = pytest.mark.django_db
HUNG = f"The time limit was exceeded by a job that does not yield; {stream.WORKER_ENDED}"


@pytest.fixture
def reader(own_keys: Any) -> Reader:
    reader = Reader(own_keys, "reader-1")
    reader.prepare()
    return reader


def end(
    reader: Reader,
    worker: str,
    error: str = HUNG,
    definition: str = "io.wait",
    ending: Ending = Ending.FAILED,
) -> None:
    """Let the last attempt of a job end on a worker so, and record it."""
    job = Job.objects.create(
        definition=definition, kind="io", pool="gevent", state=JobState.RUNNING, worker=worker, max_attempts=1
    )
    timings = Timings(started_at=wall_now() - 5, finished_at=wall_now(), run_s=5.0)
    error_type = "TimeLimitExceeded" if ending is Ending.FAILED else "WorkerLost"
    outcome = Outcome(str(job.pk), 1, Place(worker), timings, ending, error_type=error_type, error=error)
    stream.report(reader.client, outcome)
    record_new(reader)


def test_the_fifth_worker_ended_for_jobs_of_a_definition_pauses_it_and_says_why(reader: Reader) -> None:
    for number in range(4):
        end(reader, f"gevent-{number}@h")
        end(reader, f"gevent-{number}@h")  # another one in the same worker
    assert not Pause.objects.exists()
    with capture_logs() as logs:
        end(reader, "gevent-4@h")
        end(reader, "gevent-5@h")
    pause = Pause.objects.get()
    assert (pause.kind, pause.name, pause.state) == ("definition", "io.wait", "paused")
    assert "Its jobs hang or crash: 5 workers ended in 5 min" in pause.reason
    assert pauses.read_copy(reader.client).definitions == {"io.wait": "paused"}
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.target, entry.details) == (
        "pause",
        "definition io.wait",
        {"by": "coordinator"},
    )
    assert [(line["log_level"], line["definition"]) for line in logs if "hang" in line["event"]] == [
        ("error", "io.wait")
    ]


def test_jobs_that_their_pool_could_stop_and_ends_of_long_ago_do_not_count(reader: Reader) -> None:
    for number in range(6):
        end(reader, f"gevent-{number}@h", error="The time limit of 1.0 s was exceeded.")
    for number in range(4):
        end(reader, f"gevent-{number}@h")
    Job.objects.update(finished_at=timezone.now() - timedelta(minutes=6))
    end(reader, "gevent-9@h")
    assert not Pause.objects.exists()


def test_jobs_that_crash_their_workers_count_and_those_lost_with_a_worker_do_not(reader: Reader) -> None:
    for number in range(6):
        end(reader, f"gevent-{number}@h", "The worker was lost while it ran the job.", ending=Ending.LOST)
    assert not Pause.objects.exists()
    for number in range(5):
        error = f"{stream.ENDED_WORKER}: Segmentation fault."
        end(reader, f"gevent-{number}@h", error, ending=Ending.LOST)
    assert [pause.name for pause in Pause.objects.all()] == ["io.wait"]


def test_by_the_setting_a_definition_is_paused_sooner_or_never(reader: Reader, settings: Any) -> None:
    settings.JOB_PAUSE_AFTER_HANGS = 0
    for number in range(6):
        end(reader, f"gevent-{number}@h")
    assert not Pause.objects.exists()
    settings.JOB_PAUSE_AFTER_HANGS = 1
    end(reader, "gevent-1@h", definition="io.http_get")
    assert [pause.name for pause in Pause.objects.all()] == ["io.http_get"]


def test_a_definition_that_is_not_declared_here_is_logged_alone(reader: Reader, settings: Any) -> None:
    settings.JOB_PAUSE_AFTER_HANGS = 1
    with capture_logs() as logs:
        end(reader, "gevent-1@h", definition="gone.away")
    assert not Pause.objects.exists()
    assert "cannot pause a definition whose jobs hang" in [line["event"] for line in logs]
