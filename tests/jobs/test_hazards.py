"""Each hazard shows its lesson in one run: in this process, and some on real workers."""

import json
from collections.abc import Callable, Mapping
from io import StringIO
from typing import Any

import pytest
from django.apps import apps
from django.core.management import CommandError, call_command
from django_celery_results.models import TaskResult

from poolwise import definitions
from poolwise.lab.report import lesson as hazard
from poolwise.lab.report.lesson import table, variants, with_lessons
from poolwise.lifecycle.submission import submit
from poolwise.models import Job
from tests.helpers.pace import eventually
from tests.helpers.platform import Platform
from tests.jobs.conftest import Bodies

VARIANT = {definition.name: definition.lesson.parameter for definition in with_lessons() if definition.lesson}
stored = pytest.mark.django_db(transaction=True)
type AllVariants = Callable[..., dict[Any, Any]]


def lesson(name: str, results: list[Any]) -> str:
    return hazard.lesson(definitions.get(name), results)


@pytest.fixture
def run_all(run: Bodies) -> AllVariants:
    """Return a function that runs the sync body of each variant of a hazard and returns the results by variant."""

    def run_variants(name: str, **params: Any) -> dict[Any, Any]:
        return {
            variant: run(name, **{VARIANT[name]: variant}, **params)[0]
            for variant in variants(definitions.get(name))
        }

    return run_variants


@pytest.mark.slow
@stored
def test_updates_are_lost_without_a_guard_and_none_with_one(run_all: AllVariants) -> None:
    results = run_all("hazard.shared_counter")
    assert {guard: result["lost"] > 0 for guard, result in results.items()} == {
        "none": True, "save": True, "lock": False, "queue": False, "f": False,
    }  # fmt: skip
    text = lesson("hazard.shared_counter", list(results.values()))
    assert text.startswith(f"Without a guard {results['none']['lost']} of 1,000 updates were lost")
    assert text.endswith("with a lock, a queue or F() none.")


@pytest.mark.parametrize("attempt", range(5))
def test_the_default_seed_loses_updates_every_time(run: Bodies, attempt: int) -> None:
    on_threads, on_a_loop = run("hazard.shared_counter", updates=400)
    assert 50 < on_threads["lost"] < 400
    assert 50 < on_a_loop["lost"] < 400
    assert on_a_loop["where"] == "event loop"


@stored
def test_the_counter_row_is_deleted_and_so_is_one_left_behind(run: Bodies) -> None:
    rows = apps.get_model("django_celery_results", "ChordCounter").objects
    rows.create(group_id="hazard-1700000000-left", sub_tasks="[]", count=3)
    rows.create(group_id="a chord of another app", sub_tasks="[]", count=3)
    assert [result["lost"] for result in run("hazard.shared_counter", guard="f", updates=20)] == [0, 0]
    assert list(rows.values_list("group_id", flat=True)) == ["a chord of another app"]


@pytest.mark.slow
def test_a_job_that_computes_on_a_loop_delays_its_sibling_as_long(run: Bodies) -> None:
    late = {
        work: run("hazard.blocked_loop", work=work, compute_s=0.4)[-1]
        for work in ("compute", "pauses", "process")
    }
    worst = {work: result["sibling_late_max_s"] for work, result in late.items()}
    assert worst["compute"] > 0.35
    assert worst["pauses"] < worst["compute"] / 2
    assert worst["process"] < worst["compute"] / 2
    assert "On asyncio a job that computed for 400 ms" in lesson("hazard.blocked_loop", list(late.values()))


@pytest.mark.slow
def test_serialisation_takes_a_growing_share_and_a_reference_a_small_message(
    run_all: AllVariants, files: Any
) -> None:
    results = run_all("hazard.large_payload")
    for result in results.values():
        shares = [size["share"] for size in result["sizes"]]
        assert shares[0] < 0.3 < shares[-1]
    last = {way: result["sizes"][-1] for way, result in results.items()}
    assert last["msgpack"]["message_bytes"] < 0.9 * last["json"]["message_bytes"]
    assert last["reference"]["message_bytes"] < 1000
    assert "as msgpack" in lesson("hazard.large_payload", list(results.values()))


@pytest.mark.slow
def test_without_a_limit_memory_and_wait_grow(run_all: AllVariants) -> None:
    results = run_all("hazard.backlog")
    assert results["wait"]["most_items"] <= 10 < results["none"]["most_items"] / 3
    assert results["wait"]["wait_max_s"] < results["none"]["wait_max_s"] / 2
    assert results["wait"]["producer_waited_s"] > 10 * results["none"]["producer_waited_s"]
    assert results["refuse"]["refused"] + results["refuse"]["consumed"] == 300
    assert results["refuse"]["refused"] > 0
    assert lesson("hazard.backlog", list(results.values())).startswith("Without a limit")


def test_a_lock_held_during_a_wait_makes_threads_take_turns(run_all: AllVariants) -> None:
    results = run_all("hazard.lock_held")
    assert {result["updated"] for result in results.values()} == {8}
    assert results["all"]["duration_s"] > 0.3
    assert results["update"]["duration_s"] < results["all"]["duration_s"] / 2
    assert "8 threads" in lesson("hazard.lock_held", list(results.values()))


@pytest.mark.slow
def test_short_jobs_wait_for_the_slow_one_only_when_fetched_with_it(run_all: AllVariants) -> None:
    results = run_all("hazard.head_of_line")
    assert [results[prefetch]["stuck"] for prefetch in (1, 4)] == [0, 3]
    assert results[4]["short_wait_max_s"] > 0.5
    if results[1]["short_wait_max_s"] >= 0.5:  # other programs can only add to a wait
        eventually(lambda: run_all("hazard.head_of_line")[1]["short_wait_max_s"] < 0.5)
    assert "With a prefetch of 4, 3 of 30" in lesson("hazard.head_of_line", list(results.values()))


@pytest.mark.slow
def test_a_tiny_job_costs_many_times_its_work_in_another_process(run_all: AllVariants) -> None:
    results = run_all("hazard.tiny_jobs")
    assert len({result["total"] for result in results.values()}) == 1
    # The best of three: other programs can only add to a figure.
    rounds = [results, run_all("hazard.tiny_jobs"), run_all("hazard.tiny_jobs")]
    best_us = {how: min(each[how]["per_job_us"] for each in rounds) for how in results}
    assert best_us["process"] > 4 * min(each["process"]["work_us"] for each in rounds)
    assert best_us["batch"] < best_us["process"] / 2
    assert "in another process" in lesson("hazard.tiny_jobs", list(results.values()))


COUNTED = {
    "guard": "none",
    "where": "threads",
    "updates": 1000,
    "lost": 412,
    "counted": 588,
    "duration_s": 0.1,
}


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        ([COUNTED], "Without a guard 412 of 1,000 updates were lost."),
        ([COUNTED, COUNTED], "Without a guard 824 of 2,000 updates were lost."),
        ([COUNTED, COUNTED | {"guard": "f", "lost": 0}], "Without a guard 412 of 1,000 updates were lost; with F() none."),
        ([COUNTED | {"guard": "f", "lost": 0}], "With F() none of the updates was lost."),
        ([COUNTED | {"guard": "lock", "lost": 1}], "With a lock 1 of 1,000 updates were lost."),
        ([], ""),
        ([{"guard": "none"}], ""),
        ([{}], ""),
    ],
)  # fmt: skip
def test_a_lesson_covers_only_the_variants_that_ran(results: list[Mapping[str, Any]], expected: str) -> None:
    assert lesson("hazard.shared_counter", results) == expected
    assert lesson("io.wait", results) == ""


@pytest.mark.parametrize("name", VARIANT)
def test_every_hazard_has_a_variant_a_table_and_a_lesson_for_each_variant(
    name: str, run: Bodies, files: Any
) -> None:
    fields = {field.name: field for field in definitions.get(name).fields}
    assert len(variants(definitions.get(name))) >= 2
    assert definitions.get(name).kind == "hazard"
    small = {"updates": 20, "compute_s": 0.02, "largest_kib": 1, "items": 20, "jobs": 20, "slow_ms": 20}
    params = {key: value for key, value in small.items() if key in fields}
    [result, *_] = run(name, **params)
    assert json.loads(json.dumps(result)) == result
    headings, *rows = table(definitions.get(name), [result])
    assert rows
    assert all(len(row) == len(headings) for row in rows)
    assert lesson(name, [result]).endswith(".")


def printed(*arguments: str) -> str:
    out = StringIO()
    call_command("hazard", *arguments, stdout=out)
    return out.getvalue()


def test_the_command_prints_the_variants_and_the_lesson() -> None:
    text = printed("lock_held", "--param", "fetch_ms=5")
    title, headings, _, *rows = text.splitlines()
    assert title == "hazard.lock_held: Lock held too long"
    assert headings.startswith("held")
    assert [row.split()[0] for row in rows[:2]] == ["all", "update"]
    assert rows[-1].startswith("With the lock held during the wait")


def test_the_command_lists_the_hazards_and_refuses_an_unknown_one() -> None:
    assert all(name in printed() for name in VARIANT)
    with pytest.raises(CommandError, match=r"choose one of backlog, .*shared_counter"):
        printed("nonsense")
    with pytest.raises(CommandError, match="held"):
        printed("lock_held", "--param", "held=perhaps")
    with pytest.raises(CommandError, match="NAME=VALUE"):
        printed("lock_held", "--param", "held")


@pytest.mark.services
@stored
def test_the_command_runs_on_workers_where_only_they_show_the_hazard(platform: Platform) -> None:
    run = platform.manage("hazard", "blocked_loop", "--param", "compute_s=0.4")
    assert run.returncode == 0, run.stderr
    late_ms = {
        tuple(row.split()[:2]): row
        for row in run.stdout.splitlines()
        if row.split()[:1] in (["gevent"], ["asyncio"], ["threads"])
    }
    assert len(late_ms) == 9
    results = {
        (job.pool, job.params["work"]): json.loads(TaskResult.objects.get(task_id=str(job.pk)).result)
        for job in Job.objects.filter(definition="hazard.blocked_loop")
    }
    for pool in ("gevent", "asyncio"):
        assert results[pool, "compute"]["sibling_late_max_s"] > 0.35
        assert results[pool, "pauses"]["sibling_late_max_s"] < 0.3
    assert results["threads", "compute"]["sibling_late_max_s"] < 0.3
    assert "On gevent a job that computed" in run.stdout


@pytest.mark.services
@stored
@pytest.mark.parametrize("pool", ["gevent", "asyncio"])
def test_a_real_job_of_the_same_worker_is_delayed(platform: Platform, pool: str) -> None:
    # A worker of an earlier test may take some: several wait, so that one shares the worker of the other.
    waiting = submit("io.wait", {"duration_s": 1.5}, pool=pool, copies=12)
    [computing] = submit("hazard.blocked_loop", {"work": "compute", "compute_s": 2.0}, pool=pool)
    platform.wait_for(*waiting, computing)
    beside = [job.run_s for job in waiting if job.worker == computing.worker]
    assert max(beside) > 1.8


@pytest.mark.services
@stored
@pytest.mark.parametrize("pool", ["threads", "gevent", "asyncio", "prefork"])
def test_updates_are_lost_on_every_pool_but_not_with_the_database(platform: Platform, pool: str) -> None:
    jobs = [submit("hazard.shared_counter", {"guard": guard}, pool=pool)[0] for guard in ("none", "f")]
    platform.wait_for(*jobs)
    lost = [json.loads(TaskResult.objects.get(task_id=str(job.pk)).result)["lost"] for job in jobs]
    assert lost[0] > 0
    assert lost[1] == 0
