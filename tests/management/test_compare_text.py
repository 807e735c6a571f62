"""The text and the JSON of `manage.py compare`."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from poolwise.lab import bundle, report
from poolwise.lab.bundle import writing
from poolwise.management.comparison_text import as_json, comparison_text, wrapped
from poolwise.models import Comparison
from poolwise.support.formats import rate
from tests.helpers.comparison_rows import batch, compared

SLOW, FAST = [1.0, 1.01, 0.99, 1.02, 1.0], [0.1, 0.101, 0.099, 0.102, 0.1]


@pytest.fixture(autouse=True)
def _terminal(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.JOB_POOLS = {
        name: {"model": name, "queue": name, "concurrency": 4} for name in ("prefork", "threads", "gevent")
    }
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(writing, "charts", lambda *_: {})


def text_of(comparison: Comparison) -> str:
    report.freeze(comparison)
    return comparison_text(comparison)


def swept(pools: tuple[str, ...] = ("threads",), spans: tuple[float, ...] = (4.0, 2.0, 1.9)) -> Comparison:
    comparison = compared({pool: [0.1] for pool in pools}, is_sweep=True)
    comparison.batches.all().delete()
    for pool in pools:
        for slots, span_s in zip((1, 2, 4), spans, strict=True):
            batch(comparison, pool, 1, span_s, slots=slots, wanted_slots=slots)
    return comparison


@pytest.mark.django_db
def test_the_answer_comes_last_with_the_reason_beneath() -> None:
    text = text_of(compared({"prefork": SLOW, "gevent": FAST}))
    assert text.startswith("io.wait(duration_s=0.1), 5 rounds of 4 jobs\n")
    answer = text.split("\n\n")[-1].splitlines()
    assert answer[0] == "Run io.wait on gevent (4 slots). It is 10.0× as fast as prefork."
    assert answer[1].startswith("  The job waits for 99 % of its run.")
    assert "Failed validity check" not in text


@pytest.mark.django_db
def test_a_budget_is_part_of_the_title() -> None:
    text = text_of(compared({"prefork": SLOW, "gevent": FAST}, budget_s=30))
    assert text.startswith("io.wait(duration_s=0.1), 5 rounds of up to 4 jobs, at most 30 s\n")


@pytest.mark.django_db
@pytest.mark.parametrize(("columns", "most"), [("40", 40), ("80", 80), ("200", 100)])
def test_sentences_fit_the_terminal(monkeypatch: pytest.MonkeyPatch, columns: str, most: int) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    text = text_of(compared({"prefork": SLOW, "gevent": FAST, "threads": FAST}))
    _, sentences = text.split("\n\n", 1)
    assert most - 15 < max(map(len, sentences.splitlines())) <= most


def test_a_number_stays_with_its_unit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    assert wrapped("a slot takes about 57 MB") == "a slot takes about\n57 MB"


@pytest.mark.django_db
def test_one_round_answers_openly_and_says_what_to_do_next() -> None:
    text = " ".join(text_of(compared({"prefork": [1.0], "gevent": [0.1]})).split())
    assert "Run io.wait on gevent or prefork. 1 round did not tell them apart." in text
    assert "An interval takes 3 rounds: repeat it with the preset quick, which takes 30 s." in text


def disturbed(comparison: Comparison, pool: str) -> Comparison:
    """Return the comparison after jobs of others took slots of one of its pools."""
    for row in comparison.batches.filter(pool=pool):
        row.probe["others"] = {"slot_s": 2.0, "cpu_s": 0.0}
        row.save()
    return comparison


@pytest.mark.django_db
def test_a_failed_check_is_shown_once_beside_the_answer_for_the_others() -> None:
    text = text_of(disturbed(compared({"prefork": SLOW, "threads": SLOW, "gevent": FAST}), "threads"))
    assert text.count("Failed validity check “No other jobs”: Other jobs took slots or CPU from threads") == 1
    assert "\n\nRun io.wait on gevent (4 slots). It is 10.0× as fast as prefork.\n" in text


@pytest.mark.django_db
def test_a_reason_that_the_answer_gives_is_not_repeated() -> None:
    text = text_of(disturbed(compared({"prefork": SLOW, "threads": SLOW}), "threads"))
    assert "Failed validity check" not in text
    assert text.count("ther jobs took slots or CPU from threads") == 1
    assert text.splitlines()[-1] == "  Repeat the comparison while no other jobs run."


@pytest.mark.django_db
def test_failed_jobs_are_counted() -> None:
    comparison = compared({"prefork": SLOW, "gevent": FAST})
    batch(comparison, "gevent", 6, 0.1, jobs={"state": "failed"})
    head, _, *rows = text_of(comparison).split("\n\n")[0].splitlines()[1:]
    assert head.endswith("failed")
    assert {row.split()[0]: row.split()[-1] for row in rows} == {"prefork": "0", "gevent": "4"}


@pytest.mark.django_db
def test_the_sweep_of_one_pool_is_a_table_and_its_knee_the_answer() -> None:
    table, most, answer = text_of(swept()).split("\n\n")
    assert [line.split() for line in table.splitlines()[2:]] == [
        ["threads", "1", "1", "4.00", "s"],
        ["threads", "2", "2", "2.00", "s", "←", "knee"],
        ["threads", "4", "2.11", "1.90", "s"],
    ]
    assert ", at the maximum slots\n" in most
    assert answer == "Run io.wait on threads (2 slots): more slots add little."


@pytest.mark.django_db
def test_a_sweep_of_one_pool_without_a_knee_says_so() -> None:
    text = text_of(swept(spans=(4.0, 2.0, 1.0)))
    assert text.endswith("\n\nthreads has no knee from 1 to 4 slots.")


@pytest.mark.django_db
def test_a_sweep_of_two_pools_has_an_answer_and_both_in_its_table() -> None:
    text = text_of(swept(("prefork", "threads")))
    assert text.count("← knee") == 2
    assert "Run io.wait on prefork or threads. 1 round did not tell them apart." in text


@pytest.mark.django_db
def test_the_json_has_the_report_beside_the_figures() -> None:
    comparison = swept(("prefork", "threads"))
    figures = as_json(comparison)
    assert figures["answer"] is None, "no report, as of an older coordinator"
    report.freeze(comparison)
    reported = json.loads(json.dumps(as_json(comparison)))
    assert set(reported) == set(figures) > {"definition", "budget_s", "answer", "pairs", "validity", "sweep"}
    assert (reported["answer"]["state"], reported["answer"]["slots"]) == ("open", 2)
    assert [standing["name"] for standing in reported["answer"]["standings"]] == ["prefork", "threads"]
    assert reported["pairs"][0]["outcome"] == "cannot tell"
    assert reported["validity"]["checks"]
    assert [point["slots"] for point in reported["sweep"]["prefork"]] == [1, 2, 4]


@pytest.mark.django_db
def test_an_imported_comparison_is_printed_like_one_that_ran_here(tmp_path: Path) -> None:
    comparison, file, out = (
        compared({"prefork": SLOW, "gevent": FAST}),
        tmp_path / "bundle.zip",
        io.StringIO(),
    )
    text = text_of(comparison)
    file.write_bytes(bundle.write(comparison))
    call_command("compare", "--import", str(file), "--json", str(tmp_path / "out.json"), stdout=out)
    assert out.getvalue().split("\n", 1)[1].strip() == text
    assert "10.0×" in text.split("\n\n")[0]
    assert json.loads((tmp_path / "out.json").read_text())["answer"]["pool"] == "gevent"


@pytest.mark.django_db
def test_the_results_of_a_hazard_and_its_lesson_come_before_the_answer() -> None:
    comparison = compared({"prefork": SLOW, "gevent": FAST})
    results_table = {"head": ["guard", "lost"], "rows": [["none", "644"], ["lock", "0"]]}
    built = report.build(comparison).model_dump(mode="json")
    comparison.report = built | {"results_table": results_table, "lesson": "Lock it."}
    lesson = "\n\nguard  lost\n───────────\nnone    644\nlock      0\n\nLock it.\n\nRun io.wait on gevent"
    assert lesson in comparison_text(comparison)


@pytest.mark.django_db
def test_a_comparison_without_a_report_has_its_table_alone() -> None:
    comparison = compared({"prefork": SLOW, "gevent": FAST})
    assert comparison_text(comparison).startswith("io.wait(duration_s=0.1)")


@pytest.mark.parametrize(
    ("per_s", "text"), [(0.5123, "0.512"), (74.12, "74.1"), (999.7, "1,000"), (1893, "1,890")]
)
def test_a_rate_has_three_digits_and_no_exponent(per_s: float, text: str) -> None:
    assert rate(per_s) == text
