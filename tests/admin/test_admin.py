"""The admin: what it shows, to whom, and that no list reads more than its bound."""

import csv
import json
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
import redis
from django.contrib.admin import site
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from django_celery_results.models import GroupResult, TaskResult

from poolwise.admin import actions as admin_actions
from poolwise.lifecycle import heartbeats
from poolwise.lifecycle.heartbeats import Heartbeat
from poolwise.models import Batch, Comparison, Job, JobLog, JobState, Pool
from poolwise.reports import job_list, paging
from poolwise.support.errors import BrokerUnavailable
from tests.helpers import report_sample

pytestmark = pytest.mark.django_db
JOBS = "/admin/poolwise/job/"


@pytest.fixture(autouse=True)
def _no_cache(redis_client: redis.Redis) -> Iterator[None]:
    cache.clear()
    yield
    cache.clear()


@pytest.fixture
def admin(client: Client, administrator: Any) -> Client:
    client.force_login(administrator)
    return client


@pytest.fixture
def viewer(client: Client, user: Any) -> Client:
    """A member of staff who may only see jobs."""
    user.groups.clear()  # no submitter
    user.is_staff = True
    user.save()
    user.groups.clear()
    user.user_permissions.set([Permission.objects.get(codename="view_job")])
    client.force_login(user)
    return client


@pytest.fixture
def no_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise BrokerUnavailable

    monkeypatch.setattr(heartbeats, "pools_up", refuse)


def make(**fields: Any) -> Job:
    defaults = {"definition": "io.wait", "kind": "io", "params": {"duration_s": 0.1}, "pool": "gevent"}
    return Job.objects.create(**(defaults | fields))


def ended(**fields: Any) -> Job:
    now = timezone.now()
    defaults: dict[str, Any] = {
        "state": JobState.SUCCEEDED, "published_at": now, "started_at": now, "finished_at": now, "broker_wait_s": 0.01,
        "worker_wait_s": 0.02, "run_s": 0.5, "cpu_s": 0.25, "off_cpu_s": 0.25, "worker": "gevent@here", "pid": 7,
    }  # fmt: skip
    return make(**(defaults | fields))


def shown(client: Client, query: str = "") -> set[Any]:
    response = client.get(JOBS + query)
    assert response.status_code == 200
    return {job.pk for job in response.context["cl"].result_list}


def text_of(client: Client, address: str) -> str:
    response = client.get(address)
    assert response.status_code == 200
    return re.sub(r"\s+", " ", response.content.decode())


def page_of(row: Any) -> str:
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk])


def run(client: Client, action: str, *jobs: Job, **data: Any) -> Any:
    chosen = {"action": action, "_selected_action": [str(job.pk) for job in jobs], "index": "0"}
    return client.post(JOBS, chosen | data, follow=True)


def message_texts(response: Any) -> list[str]:
    return [str(message) for message in response.context["messages"]]


# --- the list of jobs ----------------------------------------------------------------------------------------


def test_the_list_shows_state_waits_and_share_of_cpu(admin: Client) -> None:
    ended()
    text = text_of(admin, JOBS)
    for words in ("io.wait", "pw-succeeded", "gevent", "30 ms", "500 ms", "50 %"):
        assert words in text


def test_an_empty_database_shows_where_to_submit(admin: Client) -> None:
    assert "No job has been submitted yet" in text_of(admin, JOBS)
    make()
    assert "No matching job" in text_of(admin, f"{JOBS}?state=failed")


@pytest.mark.parametrize(
    "query", ["?state=failed", "?pool=threads", "?kind=cpu", "?definition=cpu.primes", "?age=1h"]
)
def test_each_filter_leaves_what_it_names(admin: Client, query: str) -> None:
    wanted = make(state=JobState.FAILED, pool="threads", kind="cpu", definition="cpu.primes")
    make(created_at=timezone.now() - timedelta(hours=2))
    assert shown(admin, query) == {wanted.pk}


def test_search_finds_an_id_a_prefix_and_text_in_parameters(admin: Client) -> None:
    first = make(params={"message": "über die Brücke"})
    second = make(definition="cpu.primes")
    assert shown(admin, f"?q={first.pk}") == {first.pk}
    assert shown(admin, f"?q={first.pk.hex}") == {first.pk}
    assert shown(admin, "?q=cpu.p") == {second.pk}
    assert shown(admin, "?q=die Brücke") == {first.pk}
    assert shown(admin, "?q=nothing of the kind") == set()


def test_a_search_looks_at_the_newest_jobs_and_says_so(
    admin: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_list, "SEARCH_LIMIT", 3)
    jobs = [make(created_at=timezone.now() - timedelta(minutes=minute)) for minute in range(6)]
    assert jobs[5].pk not in shown(admin, "?q=io")
    assert "newest" in text_of(admin, f"{JOBS}?q=io")
    assert jobs[5].pk in shown(admin, "?pool=gevent")
    assert jobs[5].pk in shown(admin, f"?q={jobs[5].pk}")


def test_pages_follow_each_other_by_cursor_past_the_bound_of_the_count(
    admin: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paging, "COUNT_LIMIT", 20)
    monkeypatch.setattr(paging, "PAGE_SIZE", 10)
    jobs = [make(created_at=timezone.now() - timedelta(minutes=minute)) for minute in range(25)]
    first = admin.get(JOBS)
    assert "20 or more jobs" in re.sub(r"\s+", " ", first.content.decode())
    second = admin.get(JOBS + first.context["cl"].older)
    third = admin.get(JOBS + second.context["cl"].older)
    pages = [[job.pk for job in page.context["cl"].result_list] for page in (first, second, third)]
    assert pages == [[job.pk for job in jobs[start : start + 10]] for start in (0, 10, 20)]
    assert third.context["cl"].older is None
    assert shown(admin, third.context["cl"].newer) == {job.pk for job in jobs[10:20]}


@pytest.mark.parametrize("query", ["", "?state=failed", "?kind=cpu&state=failed", "?q=text", "?age=7d"])
def test_no_list_asks_for_distinct_values_or_counts_without_a_limit(admin: Client, query: str) -> None:
    make()
    admin.get(JOBS)
    with CaptureQueriesContext(
        connection,
    ) as asked:
        admin.get(JOBS + query)
    about_jobs = [entry["sql"] for entry in asked if "poolwise_job" in entry["sql"]]
    assert len(about_jobs) <= 4  # the pools that jobs name, the bound, the count and the page
    for sql in about_jobs:
        assert "DISTINCT" not in sql
        assert "COUNT(" not in sql or "LIMIT" in sql


@pytest.mark.parametrize(
    "query", ["?age=nonsense", "?p=before-nonsense", "?p=before-1e999", "?state=odd", "?p=999", "?o=3.2"]
)
def test_a_strange_address_is_no_error(admin: Client, query: str) -> None:
    make()
    assert admin.get(JOBS + query, follow=True).status_code == 200


# --- one job -------------------------------------------------------------------------------------------------


def test_a_job_leads_to_its_page_where_all_is_shown(admin: Client) -> None:
    job = ended(user=None, greenlet_or_task="greenlet-3")
    TaskResult.objects.create(task_id=str(job.pk), status="SUCCESS", result='{"primes": 25}')
    JobLog.objects.create(job=job, attempt=1, lines=[[0.012, "info", "reading <file>"]], dropped=2)
    assert f'href="{job.get_absolute_url()}"' in text_of(admin, JOBS)
    assert admin.get(page_of(job))["Location"] == job.get_absolute_url()
    text = text_of(admin, job.get_absolute_url())
    for words in (
        "Broker wait",
        "greenlet-3",
        "&quot;primes&quot;: 25",
        "reading &lt;file&gt;",
        "2 more lines",
    ):
        assert words in text


def test_a_job_that_is_not_there_leads_back_with_a_message(admin: Client) -> None:
    for wrong in (uuid4(), "nonsense"):
        response = admin.get(f"{JOBS}{wrong}/change/", follow=True)
        assert response.status_code == 200
        assert "doesn’t exist" in message_texts(response)[0]


def test_nothing_can_be_added_changed_or_deleted(admin: Client) -> None:
    job = make()
    assert admin.get(f"{JOBS}add/").status_code == 403
    assert admin.post(page_of(job), {"state": "failed"}).status_code == 403
    assert admin.post(f"{JOBS}{job.pk}/delete/", {"post": "yes"}).status_code == 403
    assert "delete_selected" not in text_of(admin, JOBS)


# --- actions -------------------------------------------------------------------------------------------------


def test_run_again_submits_each_job_once_more_and_leaves_a_trace(admin: Client, administrator: Any) -> None:
    jobs = [ended(), ended(pool="threads")]
    response = run(admin, "run_again", *jobs)
    assert message_texts(response) == ["2 jobs submitted again."]
    again = Job.objects.filter(parent__in=jobs)
    assert {(job.pool, job.state, job.user) for job in again} == {
        ("gevent", "queued", administrator),
        ("threads", "queued", administrator),
    }
    assert LogEntry.objects.count() == 2


def test_run_again_says_which_jobs_cannot_be(admin: Client) -> None:
    response = run(admin, "run_again", make(definition="gone.away"), make(definition="gone.away"))
    [words] = message_texts(response)
    assert words.startswith("2 jobs not submitted")
    assert "gone.away" in words


def test_cancel_tells_apart_what_waited_what_runs_and_what_had_ended(admin: Client) -> None:
    waiting, running, done = make(), make(state=JobState.RUNNING), ended()
    response = run(admin, "cancel", waiting, running, done)
    assert len(message_texts(response)) == 3
    waiting.refresh_from_db()
    running.refresh_from_db()
    assert waiting.state == JobState.CANCELLED
    assert running.cancel_requested_at is not None
    assert LogEntry.objects.count() == 2


def test_too_many_jobs_at_once_are_refused_whole(admin: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin_actions, "ACTION_LIMIT", 2)
    jobs = [make() for _ in range(3)]
    assert "at most 2 jobs" in message_texts(run(admin, "cancel", *jobs))[0]
    assert Job.objects.queued().count() == 3


def test_a_viewer_may_export_and_no_more(viewer: Client) -> None:
    job = make()
    text = text_of(viewer, JOBS)
    assert 'value="export_csv"' in text
    assert 'value="run_again"' not in text
    assert 'value="cancel"' not in text
    run(viewer, "cancel", job)
    job.refresh_from_db()
    assert job.state == JobState.QUEUED


def test_who_is_not_staff_sees_nothing(client: Client, user: Any) -> None:
    client.force_login(user)
    for address in ("/admin/", JOBS, page_of(make()), "/admin/poolwise/pool/"):
        assert client.get(address).status_code == 302


def exported(client: Client, action: str, *jobs: Job) -> str:
    response = run(client, action, *jobs)
    assert response.streaming
    assert "attachment" in response["Content-Disposition"]
    return b"".join(response.streaming_content).decode()


def test_csv_holds_no_formula_that_a_spreadsheet_would_run(admin: Client) -> None:
    job = ended(error='=HYPERLINK("http://x")', error_type="@sum", worker="-2+3", params={"text": "ä, \n"})
    [row] = csv.DictReader(exported(admin, "export_csv", job).splitlines(keepends=True))
    assert (row["error"], row["error_type"], row["worker"]) == ('\'=HYPERLINK("http://x")', "'@sum", "'-2+3")
    assert row["id"] == str(job.pk)
    assert json.loads(row["params"]) == {"text": "ä, \n"}
    assert float(row["run_s"]) == 0.5


def test_json_holds_the_same_jobs(admin: Client) -> None:
    jobs = [ended(error="=1"), make()]
    rows = json.loads(exported(admin, "export_json", *jobs))
    assert {row["id"] for row in rows} == {str(job.pk) for job in jobs}
    assert {row["error"] for row in rows} == {"=1", ""}


def test_an_export_of_nothing_is_still_json(admin: Client) -> None:
    job = make()
    job_id = job.pk
    job.delete()
    job.pk = job_id
    assert json.loads(exported(admin, "export_json", job)) == []


# --- results, comparisons, pools -------------------------------------------------------------------------------


def test_results_are_searched_by_id_alone_and_link_to_their_job(admin: Client) -> None:
    job = ended()
    TaskResult.objects.create(task_id=str(uuid4()), status="FAILURE", result="null")
    result = TaskResult.objects.create(task_id=str(job.pk), status="SUCCESS", result="25")
    address = "/admin/django_celery_results/taskresult/"
    for query in (f"?q={job.pk.hex}", "?status=SUCCESS"):
        assert list(admin.get(address + query).context["cl"].result_list) == [result]
    assert job.get_absolute_url() in text_of(admin, page_of(result))


def test_a_result_is_shown_in_its_letters_and_cut_off_where_it_is_long(admin: Client) -> None:
    values = {"word": "Größe 漢字 \u202e🎉", "half": "\ud83c", "long": "é" * 500_000}
    result = TaskResult.objects.create(task_id=str(uuid4()), status="SUCCESS", result=json.dumps(values))
    text = text_of(admin, page_of(result))
    assert "Größe 漢字 \u202e🎉" in text
    assert "�" in text
    assert "… 500,0" in text
    assert len(text) < 60_000


@pytest.mark.parametrize("stored", [None, "", "no JSON", "[" * 100_000, "1" * 10_000])
def test_a_result_of_a_task_that_is_no_job_is_shown_without_a_link(admin: Client, stored: str | None) -> None:
    result = TaskResult.objects.create(task_id="nightly-1", status="SUCCESS", result=stored)
    assert "Open the job" not in text_of(admin, page_of(result))


def test_the_slow_admins_of_celery_results_are_gone() -> None:
    assert not site.is_registered(GroupResult)
    assert site.get_model_admin(TaskResult).date_hierarchy is None


def test_a_comparison_leads_to_its_page_with_its_figures(admin: Client) -> None:
    comparison = Comparison.objects.create(
        definition="io.wait", params={"duration_s": 0.1}, copies=1, state="finished"
    )
    for position, pool in enumerate(["prefork", "gevent"], start=1):
        batch = Batch.objects.create(
            comparison=comparison, pool=pool, round=1, position=position, slots=2, released_at=timezone.now()
        )
        ended(batch=batch, pool=pool)
    text = text_of(admin, "/admin/poolwise/comparison/")
    assert "io.wait" in text
    assert f'href="{comparison.get_absolute_url()}"' in text
    assert admin.get(page_of(comparison))["Location"] == comparison.get_absolute_url()
    text = text_of(admin, comparison.get_absolute_url())
    for words in ("Makespan", "prefork", "gevent", "50 %", "duration_s"):
        assert words in text


def test_an_imported_comparison_has_the_figures_of_its_bundle(admin: Client) -> None:
    comparison = report_sample.store(imported_at=timezone.now())
    Job.objects.all().delete()  # an imported one has none
    text = text_of(admin, comparison.get_absolute_url())
    jobs = comparison.report["pools"][0]["jobs"]
    assert jobs > 0
    assert f"<td>{jobs:,}</td>" in text


def test_pools_show_their_workers_queue_and_memory(admin: Client, redis_client: redis.Redis) -> None:
    heartbeat = Heartbeat(
        "g@here", "gevent", 5, "here", slots=200, in_use=3, memory_bytes=50 << 20, loop_lag_s=0.002
    )
    heartbeats.send(redis_client, heartbeat)
    make(created_at=timezone.now() - timedelta(minutes=2))
    text = text_of(admin, "/admin/poolwise/pool/")
    for words in (
        "Up",
        "3 of 200",
        "2 min",
        "50.0",
        "g@here",
        "2.0 ms",
        "No worker",
        "No coordinator is running",
    ):
        assert words in text
    assert "g@here" in text_of(admin, page_of(Pool.objects.get(pk="gevent")))


@pytest.mark.usefixtures("own_keys")  # other tests' heartbeats would count
def test_a_pool_that_nobody_serves_says_how_to_start_it(admin: Client) -> None:
    make(pool="threads")
    for address in ("/admin/", "/admin/poolwise/pool/", page_of(Pool.objects.get(pk="threads"))):
        text = text_of(admin, address)
        assert "No worker serves the pool threads.</strong> 1 job queued" in text
        assert "python manage.py pool threads" in text


def test_a_pool_without_its_broker_is_shown_wherever_pools_are(
    admin: Client, redis_client: redis.Redis
) -> None:
    heartbeats.send(redis_client, Heartbeat("g@here", "gevent", 5, "here", slots=200, is_connected=False))
    for address in ("/admin/", "/admin/poolwise/pool/", page_of(Pool.objects.get(pk="gevent"))):
        text = text_of(admin, address)
        assert "Workers of the pool gevent have lost their broker" in text
        assert "1 of 1" in text
    assert "Up, but without a broker" in text


@pytest.mark.usefixtures("no_redis")
def test_without_redis_the_pages_stand_and_say_so(admin: Client) -> None:
    make()
    for address in ("/admin/", "/admin/poolwise/pool/", page_of(Pool.objects.get(pk="gevent"))):
        text = text_of(admin, address)
        assert "Redis does not answer" in text
        assert "Unknown: Redis is unavailable" in text


# --- the dashboard ----------------------------------------------------------------------------------------------


def test_the_index_shows_figures_of_every_pool_and_the_chart(admin: Client) -> None:
    for state in (JobState.SUCCEEDED, JobState.SUCCEEDED, JobState.SUCCEEDED, JobState.FAILED):
        ended(state=state)
    text = text_of(admin, "/admin/")
    for words in (
        "Pools in the last hour",
        "25 %",
        "500 ms",
        "Backlog, service time and throughput",
        "Wait and run over time",
        "Waiting and working",
        "Most failing",
        "No comparison has ended yet",
        "data-chart",
        "vegaEmbed"[:4],
    ):
        assert words in text


def test_the_index_shows_the_newest_answers_and_jobs_on_a_slower_pool(admin: Client) -> None:
    report_sample.store(finished_at=timezone.now())
    step = "Repeat the comparison while no other jobs run."
    none = report_sample.answer(state="none", text="No answer: other jobs ran.", pool="", next_step=step)
    report_sample.store(report=report_sample.report(answer=none), imported_at=timezone.now())
    ended(definition="io.wait", pool="prefork")
    text = text_of(admin, "/admin/")
    assert "Run io.wait on gevent (50 slots)." in text
    assert "pw-answer-settled" in text
    assert "pw-answer-none" in text
    assert "UTC · imported" in text
    assert step in text
    assert re.search(
        r'<td class="pw-text">prefork</td><td class="pw-text"><strong>gevent</strong>, 16.8 ×', text
    )


def test_the_window_is_chosen_in_the_address(admin: Client) -> None:
    ended(finished_at=timezone.now() - timedelta(hours=5))
    assert "No job ended in the last hour" in text_of(admin, "/admin/")
    assert "Pools in the last 24 hours" in text_of(admin, "/admin/?window=24h")
    assert "Pools in the last hour" in text_of(admin, "/admin/?window=nonsense")


def test_an_empty_dashboard_says_what_to_do(admin: Client) -> None:
    text = text_of(admin, "/admin/")
    assert "No job ended in the last hour, and none waited." in text
    assert "data-chart" not in text


def test_who_may_not_see_jobs_gets_the_index_without_the_dashboard(viewer: Client, user: Any) -> None:
    assert "Pools in the last hour" in text_of(viewer, "/admin/")
    user.user_permissions.clear()
    assert "Pools in the last hour" not in text_of(viewer, "/admin/")


def test_the_figures_are_kept_for_a_moment(
    admin: Client, django_assert_max_num_queries: Callable[..., Any]
) -> None:
    ended()
    admin.get("/admin/")
    with django_assert_max_num_queries(5):  # session, user, queues, recent actions and their types
        admin.get("/admin/")


def test_no_page_carries_what_the_content_policy_forbids(admin: Client) -> None:
    job = ended()
    for address in (
        "/admin/",
        JOBS,
        job.get_absolute_url(),
        "/admin/poolwise/pool/",
        "/admin/poolwise/comparison/",
    ):
        response = admin.get(address)
        text = response.content.decode()
        assert "unsafe" not in response["Content-Security-Policy"]
        assert not re.search(r"<style|\sstyle=|\son\w+=", text), address
        assert not re.search(r"<script(?![^>]*(\bsrc=|application/json))", text), address
