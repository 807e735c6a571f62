from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.dispatch import receiver
from django.tasks import TaskResultStatus, task, task_backends
from django.tasks.exceptions import InvalidTask, TaskResultDoesNotExist, TaskResultMismatch
from django.tasks.signals import task_enqueued
from django.utils import timezone
from django_celery_results.models import TaskResult

from jobs.endings import FlakyError, raise_error, succeed, unserialisable
from jobs.io import wait
from poolwise.backend import PoolwiseBackend, pool_for
from poolwise.lifecycle.execution import Delivery
from poolwise.lifecycle.pool_choice import by_kind
from poolwise.lifecycle.recorder import record
from poolwise.models import Job, JobState
from poolwise.support.errors import InvalidParameters, PoolwiseError, QueueFull, ResultRefused
from tests.helpers.attempts import execute
from tests.helpers.core import messages

pytestmark = pytest.mark.django_db


@task
def add(a: int, b: int = 2) -> int:
    """Add two numbers."""
    return a + b


@task
async def shout(text):
    return text.upper()


@task(takes_context=True)
def told(context, word="x"):
    return [context.attempt, word]


@pytest.fixture(autouse=True)
def _nobody_serves(unserved_pool: str, own_keys: Any, define: Any, settings: Any) -> None:
    """Jobs of every kind go where nobody runs them."""
    settings.JOB_DEFAULT_POOLS = dict.fromkeys(("io", "cpu", "mixed", "hazard"), unserved_pool)


def run_here(job_id: str) -> None:
    """Do what a worker and the coordinator would."""
    job = Job.objects.get(pk=job_id)
    outcome = execute(Delivery(job_id, job.attempt, job.definition, job.params, job.pool, "w@h"))
    assert outcome is not None
    record([outcome])


# --- enqueue --------------------------------------------------------------------------------------------
def test_enqueueing_stores_a_job_and_publishes_it_on_commit(
    own_keys: Any, unserved_pool: str, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        result = wait.enqueue(duration_s=0.5)
    job = Job.objects.get(pk=result.id)
    assert (job.definition, job.params, job.pool) == ("io.wait", {"duration_s": 0.5}, unserved_pool)
    assert (result.status, result.kwargs, result.is_finished) == (
        TaskResultStatus.READY,
        {"duration_s": 0.5},
        False,
    )
    assert messages(own_keys, unserved_pool)[0]["headers"]["id"] == result.id


def test_positional_arguments_are_bound_to_their_names() -> None:
    assert Job.objects.get(pk=add.enqueue(1, b=5).id).params == {"a": 1, "b": 5}
    assert Job.objects.get(pk=add.enqueue(1).id).params == {"a": 1, "b": 2}


@pytest.mark.parametrize(
    ("args", "kwargs", "field"),
    [
        ((), {}, "a"),
        (("one",), {}, "a"),
        ((1, 2, 3), {}, "args"),
        ((1,), {"a": 1}, "a"),
        ((1,), {"c": 1}, "c"),
    ],
)
def test_arguments_that_do_not_fit_are_refused_by_their_name(args: Any, kwargs: Any, field: str) -> None:
    with pytest.raises(InvalidParameters) as caught:
        add.enqueue(*args, **kwargs)
    assert field in caught.value.errors
    assert not Job.objects.exists()


def test_a_full_queue_refuses_a_task_too(settings: Any) -> None:
    settings.JOB_MAX_QUEUED = 0
    with pytest.raises(QueueFull):
        add.enqueue(1)


def test_a_queue_name_picks_the_pool_and_a_wrong_one_names_the_right_ones() -> None:
    result = add.using(queue_name="gevent").enqueue(1)
    assert Job.objects.get(pk=result.id).pool == "gevent"
    with pytest.raises(InvalidTask, match=r"'nowhere' belongs to no pool; use one of .*gevent"):
        add.using(queue_name="nowhere")


def test_a_queue_that_is_named_otherwise_than_its_pool_is_found(settings: Any, define: Any) -> None:
    settings.JOB_POOLS = {"fast": {"model": "threads", "queue": "quick-ones", "concurrency": 1}}
    task = add.using(queue_name="quick-ones")
    assert pool_for(task, wait.definition) == "fast"


def test_a_task_for_later_waits_for_its_time() -> None:
    later = timezone.now() + timedelta(hours=1)
    job = Job.objects.get(pk=add.using(run_after=later).enqueue(1).id)
    assert (job.due_at, job.state) == (later, JobState.QUEUED)
    with pytest.raises(InvalidTask, match="aware"):
        add.using(run_after=later.replace(tzinfo=None))


def test_priorities_are_refused() -> None:
    with pytest.raises(InvalidTask):
        add.using(priority=5)


def test_a_kind_has_its_pool_unless_the_definition_or_the_settings_say_otherwise(
    settings: Any, unserved_pool: str
) -> None:
    assert by_kind(wait.definition).pool == unserved_pool
    assert by_kind(replace(wait.definition, pool="asyncio")).pool == "asyncio"
    settings.JOB_DEFAULT_POOLS = {}
    assert by_kind(wait.definition).pool == next(iter(settings.JOB_POOLS))


def test_django_is_notified_of_an_enqueued_task() -> None:
    seen: list[str] = []

    @receiver(task_enqueued)
    def note(sender: Any, task_result: Any, **_: Any) -> None:
        seen.append(task_result.id)

    result = add.enqueue(1)
    assert seen == [result.id]


def test_a_task_can_be_enqueued_and_looked_up_from_a_coroutine() -> None:
    async def both() -> tuple[str, str]:
        result = await succeed.aenqueue(value="a")
        return result.id, (await succeed.aget_result(result.id)).id

    first, second = async_to_sync(both)()
    assert first == second
    assert Job.objects.get().pk.hex == first.replace("-", "")


# --- results --------------------------------------------------------------------------------------------
def test_a_result_follows_its_job() -> None:
    result = add.enqueue(1, b=4)
    Job.objects.update(state=JobState.RUNNING, started_at=timezone.now(), worker="w@h")
    result.refresh()
    assert (result.status, result.worker_ids) == (TaskResultStatus.RUNNING, ["w@h"])
    Job.objects.update(state=JobState.QUEUED, worker="")
    run_here(result.id)
    result.refresh()
    assert (result.status, result.return_value, result.errors) == (TaskResultStatus.SUCCESSFUL, 5, [])
    assert result.started_at <= result.finished_at
    assert add.get_result(result.id).return_value == 5


def test_plain_coroutines_and_tasks_with_a_context_run() -> None:
    first, second = shout.enqueue("abc"), told.enqueue(word="y")
    for result in (first, second):
        run_here(result.id)
        result.refresh()
    assert (first.return_value, second.return_value) == ("ABC", [1, "y"])


@pytest.mark.parametrize(
    ("failing", "error"),
    [(raise_error, RuntimeError), (unserialisable, ResultRefused)],
    ids=["own", "platform"],
)
def test_a_failed_task_has_its_error_as_a_class_and_its_traceback(failing: Any, error: type) -> None:
    result = failing.enqueue()
    run_here(result.id)
    result.refresh()
    assert result.status == TaskResultStatus.FAILED
    assert result.errors[0].exception_class is error
    assert "Traceback" in result.errors[0].traceback
    with pytest.raises(ValueError, match="failed"):
        _ = result.return_value


@pytest.mark.parametrize(
    ("error_type", "traceback", "expected"),
    [
        ("FlakyError", "x\njobs.endings.FlakyError: no", FlakyError),
        ("Cancelled", "", PoolwiseError), ("WorkerLost", "", PoolwiseError), ("", "", PoolwiseError),
        ("print", "", PoolwiseError),
    ],
)  # fmt: skip
def test_the_class_of_every_ending_can_be_imported(error_type: str, traceback: str, expected: type) -> None:
    result = add.enqueue(1)
    Job.objects.update(state=JobState.FAILED, error_type=error_type, error="e", finished_at=timezone.now())
    TaskResult.objects.create(task_id=result.id, traceback=traceback)
    assert add.get_result(result.id).errors[0].exception_class is expected


def test_a_cancelled_task_has_failed_though_nothing_was_stored() -> None:
    result = add.enqueue(1)
    Job.objects.update(state=JobState.CANCELLED, error_type="Cancelled", error="Cancelled before it began.")
    result.refresh()
    assert (result.status, result.errors[0].traceback) == (
        TaskResultStatus.FAILED,
        "Cancelled before it began.",
    )


def test_earlier_attempts_name_their_workers_too() -> None:
    result = add.enqueue(1)
    Job.objects.update(history=[{"worker": "a"}, {"worker": "b"}], worker="c", attempt=3)
    assert add.get_result(result.id).worker_ids == ["a", "b", "c"]


@pytest.mark.parametrize("job_id", ["", "nonsense", "00000000-0000-0000-0000-000000000000"])
def test_a_result_that_is_not_there_is_said_so(job_id: str) -> None:
    with pytest.raises(TaskResultDoesNotExist):
        add.get_result(job_id)


def test_a_result_of_another_task_or_of_one_that_is_gone_is_refused() -> None:
    result = add.enqueue(1)
    with pytest.raises(TaskResultMismatch):
        wait.get_result(result.id)
    Job.objects.update(definition="shop.sold")
    with pytest.raises(TaskResultDoesNotExist, match=r"shop\.sold"):
        add.get_result(result.id)


def test_django_knows_the_backend_and_it_has_no_complaint() -> None:
    assert isinstance(task_backends["default"], PoolwiseBackend)
    assert task_backends["default"].check() == []
