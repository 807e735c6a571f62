"""Many rows by one statement, as Django's own fields would store them."""

from datetime import UTC, datetime
from typing import Any

import pytest
from django_celery_results.models import TaskResult

from poolwise.lifecycle.folding import ATTEMPT_DEFAULTS, JobRow
from poolwise.models import Job, update_rows, upsert_rows

pytestmark = [pytest.mark.django_db, pytest.mark.postgres]
AT = datetime(2026, 11, 30, 12, 0, 0, 123456, tzinfo=UTC)
#: A value for each kind of column, unlike the default.
VALUES: dict[str, Any] = {
    "state": "failed",
    "attempt": 3,
    "history": [{"error": "ü \"quoted\" 'text' \\ %s", "run_s": 0.1}],
    "finished_at": AT,
    "due_at": None,
    "run_s": 1 / 3,
    "pid": 2_147_483_647,
    "offloaded": True,
    "error": "two\nlines, 😀 and {braces}",
}


def job() -> Job:
    return Job.objects.create(definition="io.wait", kind="io", pool="threads", due_at=AT)


def test_updated_rows_read_as_they_were_given_and_other_columns_stay() -> None:
    jobs, other = [job() for _ in range(3)], job()
    rows = [(each.pk, *({**VALUES, "attempt": number}.values())) for number, each in enumerate(jobs)]
    update_rows(Job, ("id", *VALUES), rows)
    for number, each in enumerate(jobs):
        before = each.created_at, each.definition
        each.refresh_from_db()
        assert {name: getattr(each, name) for name in VALUES} == {**VALUES, "attempt": number}
        assert (each.created_at, each.definition) == before
    other.refresh_from_db()
    assert (other.state, other.due_at) == ("queued", AT)
    # Comparisons by SQL see the stored form.
    assert Job.objects.filter(finished_at=AT, offloaded=True, pk__in=[each.pk for each in jobs]).count() == 3


@pytest.mark.parametrize(
    "texts",
    [
        pytest.param(["a", "", "NULL", "null"], id="plain"),
        pytest.param(["a,b", "{c}", " d ", "e"], id="delimiters"),
        pytest.param(["a", 'say "b"', "c", '"'], id="quotation marks"),
        pytest.param(["a", "b\\", "\\n", '\\"'], id="backslashes"),
    ],
)
def test_any_text_is_stored_as_it_is(texts: list[str]) -> None:
    jobs = [job() for _ in texts]
    update_rows(Job, ("id", "error"), [(each.pk, text) for each, text in zip(jobs, texts, strict=True)])
    for each, text in zip(jobs, texts, strict=True):
        each.refresh_from_db()
        assert each.error == text


def test_a_row_is_inserted_once_and_then_updated_but_for_what_is_kept() -> None:
    names = (
        "task_id",
        "status",
        "result",
        "date_created",
        "date_done",
        "content_type",
        "content_encoding",
        "meta",
    )
    for status, kind in (("RETRY", "first"), ("SUCCESS", "second")):
        row = ("a", status, f'"{status}"', AT, AT, kind, "utf-8", "{}")
        upsert_rows(
            TaskResult, names, [row, ("b", *row[1:])], unique="task_id", once=("content_type", "date_created")
        )
    stored = TaskResult.objects.order_by("task_id").values_list(*names)
    assert list(stored) == [
        (task_id, "SUCCESS", '"SUCCESS"', AT, AT, "first", "utf-8", "{}") for task_id in "ab"
    ]


def test_nothing_is_asked_for_no_rows(django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        update_rows(Job, ("id", "state"), [])
        upsert_rows(TaskResult, ("task_id", "status"), [], unique="task_id", once=())


def test_the_recorders_row_has_all_that_an_attempt_sets() -> None:
    assert ATTEMPT_DEFAULTS.keys() - set(JobRow.__slots__) == set()
