"""What a job changes around it, no later job sees: context, time zone, language, database connections."""

import threading
from typing import Any

import pytest
from django.db import connection, transaction

from poolwise.pools.connections import drop_all, with_working_connections
from tests.pools import celeryapp as tasks
from tests.pools.conftest import Worker

CLEAN = ["none", "America/Chicago", "en", False, True, -2000]


@pytest.mark.services
@pytest.mark.parametrize("task", [tasks.leave_changes, tasks.leave_changes_async])
def test_no_job_sees_what_an_earlier_one_changed(worker: Worker, task: Any) -> None:
    results = [worker.send(task, harm) for harm in tasks.HARM for _ in range(4)]
    assert [result.get(timeout=20) for result in results] == [CLEAN] * len(results)


@pytest.mark.services
def test_a_task_that_a_body_calls_shares_its_surroundings(worker: Worker) -> None:
    assert worker.run(tasks.call_another_in_a_transaction) is True


def in_a_thread(call: Any) -> Any:
    outcome: list[Any] = []
    thread = threading.Thread(target=lambda: outcome.append(call()))
    thread.start()
    thread.join()
    return outcome[0]


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "harm",
    [
        lambda: transaction.atomic().__enter__(),
        lambda: connection.set_autocommit(False),
        lambda: connection.connection.close(),
    ],
    ids=["open transaction", "changed autocommit", "closed raw connection"],
)
def test_the_next_job_of_a_thread_gets_a_connection_that_works(harm: Any) -> None:
    def ask() -> Any:
        with connection.cursor() as cursor:
            cursor.execute("select 1")
            return cursor.fetchone()[0], connection.in_atomic_block, connection.get_autocommit()

    def work() -> list[Any]:
        seen = [ask()]
        harm()
        drop_all()
        seen.append(ask())
        drop_all()
        return seen

    assert in_a_thread(work) == [(1, False, True)] * 2


@pytest.mark.django_db(transaction=True)
def test_an_executor_of_the_project_keeps_its_connection_within_a_job() -> None:
    def raw() -> Any:
        connection.ensure_connection()
        return connection.connection

    def work() -> list[Any]:
        jobs = [object(), object()]
        seen = [with_working_connections(job, raw) for job in (jobs[0], jobs[0], jobs[1])]
        drop_all()
        return seen

    seen = in_a_thread(work)
    assert seen[0] is seen[1] is not seen[2]
