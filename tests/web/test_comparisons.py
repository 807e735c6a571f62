"""The pages of comparisons: who sees them, what they plan, what they show."""

import io
import re
import zipfile
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.utils import timezone

from poolwise.charts import export
from poolwise.models import Comparison, Job
from poolwise.reports import paging
from tests.helpers import report_sample as sample
from tests.helpers.posted import HTMX, text_of

pytestmark = [pytest.mark.django_db, pytest.mark.slow]
NEW = "/comparisons/new/?definition=io.wait"


def form(**changes: Any) -> dict[str, Any]:
    """Return the form of a comparison of io.wait as a browser would post it."""
    plain = {"param-duration_s": "0.1", "pools": ["threads", "gevent"], "preset": "standard"}
    return {name: value for name, value in (plain | changes).items() if value is not None}


def address(comparison: Comparison, more: str = "") -> str:
    return f"/comparisons/{comparison.pk}/{more}"


@pytest.fixture
def finished(user: Any) -> Comparison:
    """A comparison of the user that has ended, with its report."""
    return sample.store(user)


@pytest.fixture
def running(user: Any) -> Comparison:
    """A comparison of the user with two batches ended, one running and the rest to come."""
    comparison = sample.store(user, state="running", report=None, finished_at=None)
    comparison.batches.filter(position__gt=2).update(finished_at=None)
    comparison.batches.filter(position__gt=3).update(released_at=None)
    Job.objects.filter(batch__comparison=comparison, batch__position__gt=3).delete()
    now = list(
        Job.objects.filter(batch__comparison=comparison, batch__position=3).values_list("pk", flat=True)
    )
    Job.objects.filter(pk__in=now[:8]).update(state="running")
    return comparison


@pytest.mark.parametrize("more", ["", "bundle.zip", "charts/ratios.svg"])
def test_anothers_comparison_is_not_found(bob: Client, administrator: Any, more: str) -> None:
    assert bob.get(address(sample.store(administrator), more)).status_code == 404


def test_who_may_view_all_sees_anothers_but_cannot_cancel_it(
    bob: Client, user: Any, administrator: Any
) -> None:
    user.user_permissions.add(Permission.objects.get(codename="view_comparison"))
    other = sample.store(administrator, state="running", report=None)
    assert bob.get(address(other)).status_code == 200
    assert str(other.pk) in text_of(bob.get("/comparisons/"))
    assert bob.post(address(other, "cancel/")).status_code == 403


def test_the_list_shows_each_with_its_answer(bob: Client, finished: Comparison) -> None:
    page = text_of(bob.get("/comparisons/"))
    assert "Run io.wait on gevent (50 slots). It is 17× as fast as prefork" in page
    assert "5 rounds of 20 jobs" in page
    assert "no answer" not in page
    assert "not settled" not in page


@pytest.mark.parametrize(("state", "tag"), [("none", "no answer"), ("open", "not settled")])
def test_the_list_says_where_an_answer_is_missing_or_open(
    bob: Client, user: Any, state: str, tag: str
) -> None:
    sample.store(user, report=sample.report(answer=sample.answer(state=state)))
    assert tag in text_of(bob.get("/comparisons/"))


def test_an_empty_list_says_what_to_do(bob: Client) -> None:
    page = text_of(bob.get("/comparisons/"))
    assert "No comparisons yet" in page
    assert "/comparisons/new/" in page


def test_the_list_goes_on_over_the_page(bob: Client, user: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paging, "PAGE_SIZE", 1)
    for copies in (1, 2):
        Comparison.objects.create(definition="io.wait", copies=copies, user=user, state="cancelled")
    first = bob.get("/comparisons/")
    assert "of 2 jobs ·" in text_of(first)
    assert "of 1 job ·" in text_of(bob.get("/comparisons/", {"before": first.context["page"].older}))


def test_the_answer_comes_first_and_everything_that_carries_it_follows(
    bob: Client, finished: Comparison
) -> None:
    page = text_of(bob.get(address(finished)))
    wanted = [
        "Run io.wait on gevent (50 slots)", "Time per job against gevent", "Where a job’s time went", "Validity checks",
        "Distribution of waits and runs", "Achieved concurrency", "Figures", "Overhead", "Every pair",
        "Environment", "Before and after",
    ]  # fmt: skip
    places = [page.index(words) for words in wanted]
    assert places == sorted(places)
    assert page.count("data-chart=") == 4
    assert "style=" not in page


def test_every_chart_names_its_data_and_has_a_table(bob: Client, finished: Comparison) -> None:
    page = text_of(bob.get(address(finished)))
    for name in re.findall(r'data-chart="([\w-]+)"', page):
        assert f'<script id="{name}" type="application/json">' in page
    assert page.count("As a table") == 4


def test_each_pool_stands_with_its_ratio_and_interval(bob: Client, finished: Comparison) -> None:
    page = re.sub(r"<[^>]+>", "", text_of(bob.get(address(finished))))
    assert "fastest gevent" in page
    assert "slower prefork 16.8× as long as gevent (15.9× to 17.6×)" in page


def test_a_pool_that_was_not_measured_says_why_beside_the_answer(bob: Client, user: Any) -> None:
    out = sample.standing("threads", "not measured", reason="Jobs did not succeed: 9 of 20 on threads.")
    given = sample.answer(standings=[sample.standing("gevent", "best", 1.0, 1.0, 1.0), out])
    changed = sample.report(answer=given, validity=sample.validity(failures="Jobs did not succeed."))
    page = text_of(bob.get(address(sample.store(user, report=changed))))
    assert "Jobs did not succeed: 9 of 20 on threads." in page
    assert "is-withheld" not in page


def test_a_missing_answer_says_why_and_what_to_do(bob: Client, user: Any) -> None:
    step = "Repeat the comparison while no other jobs run."
    given = sample.answer(state="none", text="No answer: 12 jobs ran.", pool="", next_step=step, standings=[])
    changed = sample.report(answer=given, validity=sample.validity(alone="12 jobs ran."))
    page = text_of(bob.get(address(sample.store(user, report=changed))))
    assert "No answer: 12 jobs ran." in page
    assert f'<p class="note warning">{step}</p>' in page
    assert "is-withheld" in page
    assert "9 of 10 passed" in page


def test_the_checks_are_folded_if_all_pass(bob: Client, user: Any, finished: Comparison) -> None:
    assert "<details><summary>10 of 10 passed" in text_of(bob.get(address(finished)))
    failing = sample.report(validity=sample.validity(spread="It spreads by 14 %."))
    page = text_of(bob.get(address(sample.store(user, report=failing))))
    assert "<details open><summary>9 of 10 passed" in page
    assert "It spreads by 14 %." in page


def test_a_comparison_without_a_report_shows_its_figures(bob: Client, user: Any) -> None:
    comparison = sample.store(user, report=None, state="cancelled", end_reason="Its pool is gone.")
    page = text_of(bob.get(address(comparison)))
    assert "Its pool is gone." in page
    assert "Figures" in page
    assert "data-chart=" not in page


def test_a_sweep_shows_its_charts(bob: Client, user: Any) -> None:
    page = text_of(bob.get(address(sample.store(user, report=sample.report(sweep=sample.sweep())))))
    assert "Over concurrency" in page


def test_a_hazard_shows_its_lesson(bob: Client, user: Any) -> None:
    page = text_of(bob.get(address(sample.store(user, definition="hazard.blocked_loop"))))
    assert "Lesson." in page
    assert "blocks every other job" in page


def test_a_running_comparison_shows_each_batch(bob: Client, running: Comparison, redis_client: Any) -> None:
    page = text_of(bob.get(address(running)))
    assert "gevent, round 1: 12 of 20 jobs ended" in page
    assert [page.count(f"tile is-{state}") for state in ("done", "running", "waiting")] == [2, 1, 17]
    assert 'hx-trigger="every 1000ms' in page
    assert "No coordinator is running" in page


def test_a_running_comparison_with_a_budget_shows_what_is_known_so_far(
    bob: Client, running: Comparison, redis_client: Any
) -> None:
    Comparison.objects.update(budget_s=30)
    first = running.batches.get(position=1)
    running.batches.filter(position=2).update(finished_at=None)
    running.batches.filter(position=1).update(role="pilot", round=0)
    assert "A pilot sizes the batches." in text_of(bob.get(address(running)))
    for number in range(1, 4):
        for place, (pool, value_s) in enumerate(
            {"gevent": 0.1, "threads": 0.1 + number / 1e4, "prefork": 1.0}.items()
        ):
            running.batches.create(
                pool=pool, round=number, position=100 * number + place, probe={"value_s": value_s},
                released_at=first.released_at, finished_at=first.finished_at,
            )  # fmt: skip
    page = text_of(bob.get(address(running)))
    assert "After 3 rounds: gevent, threads may be the fastest; prefork is out." in page
    assert "for at most 30 s" in page


def test_a_running_comparison_answers_htmx_with_its_live_part(
    bob: Client, running: Comparison, redis_client: Any
) -> None:
    page = text_of(bob.get(address(running), headers=HTMX))
    assert page.lstrip().startswith('<div id="live"')
    assert "<html" not in page


def test_a_comparison_that_ended_meanwhile_reloads_the_page(bob: Client, finished: Comparison) -> None:
    assert bob.get(address(finished), headers=HTMX)["HX-Refresh"] == "true"


def test_a_void_batch_says_why(bob: Client, running: Comparison) -> None:
    running.batches.filter(position=1).update(void_reason="A worker was killed.")
    page = text_of(bob.get(address(running)))
    assert "tile is-void" in page
    assert "A worker was killed." in page


def test_a_comparison_is_cancelled(bob: Client, running: Comparison, redis_client: Any) -> None:
    response = bob.post(address(running, "cancel/"))
    assert response["Location"] == address(running)
    running.refresh_from_db()
    assert running.state == "cancelled"


def test_what_has_ended_cannot_be_cancelled(bob: Client, finished: Comparison) -> None:
    page = text_of(bob.post(address(finished, "cancel/"), follow=True))
    assert "The comparison had already ended" in page
    assert bob.get(address(finished, "cancel/")).status_code == 405


def test_the_form_asks_for_a_job_first_and_then_shows_its_parameters(bob: Client) -> None:
    assert "No job chosen" in text_of(bob.get("/comparisons/new/"))
    page = text_of(bob.get(NEW))
    assert 'name="param-duration_s"' in page
    assert len(re.findall(r'name="pools" value="\w+"[^>]* checked', page)) == 4
    assert re.findall(r'name="preset" value="(\w+)"[^>]* checked', page) == ["quick"]
    assert "at most 40 s" in re.sub(r"\s+", " ", page)


def test_another_job_is_chosen_without_a_reload(bob: Client) -> None:
    response = bob.get(NEW, headers=HTMX)
    assert response["HX-Replace-Url"] == NEW
    assert "<html" not in text_of(response)


def test_a_preset_plans_its_budget(bob: Client, user: Any) -> None:
    response = bob.post(NEW, form(baseline="threads", seed="7"))
    comparison = Comparison.objects.get()
    assert response["Location"] == address(comparison)
    assert (comparison.budget_s, comparison.preset, comparison.warmup) == (120, "standard", False)
    assert set(comparison.batches.values_list("role", flat=True)) == {"pilot", "calibration"}
    assert (comparison.baseline, comparison.seed) == ("threads", 7)
    assert (comparison.user, comparison.params) == (user, {"duration_s": 0.1})
    assert set(comparison.batches.values_list("pool", flat=True)) == {"threads", "gevent"}


def test_own_numbers_and_the_load_are_planned(bob: Client) -> None:
    own = {"preset": "own", "rounds": "2", "copies": "30", "in_flight": "4", "slots": "8"}
    bob.post(NEW, form(**own, calibrate="on"))
    comparison = Comparison.objects.get()
    assert (comparison.rounds, comparison.copies, comparison.preset) == (2, 30, "")
    assert comparison.budget_s is None
    assert (comparison.warmup, comparison.calibrate, comparison.in_flight, comparison.slots) == (
        False,
        True,
        4,
        8,
    )


def test_a_sweep_is_planned(bob: Client) -> None:
    bob.post(NEW, form(is_sweep="on", preset="quick"))
    comparison = Comparison.objects.get()
    assert comparison.is_sweep
    assert (comparison.budget_s, comparison.rounds) == (None, 5)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"pools": []}, "Choose at least one pool."),
        ({"param-duration_s": "601"}, "600"),
        ({"preset": "own"}, "Give a number, or choose a preset."),
        ({"in_flight": "3", "arrival_rate_per_s": "10"}, "not both"),
        ({"is_sweep": "on", "slots": "4"}, "A sweep sets the slots itself"),
        ({"baseline": "prefork"}, "Choose prefork too"),
        ({"preset": "own", "rounds": "5", "copies": "100000"}, "less than or equal to 1000"),
        ({"slots": "500", "pools": ["prefork"]}, "Choose 1 to"),
    ],
)
def test_a_fault_in_the_form_is_named_and_nothing_is_planned(
    bob: Client, changes: dict[str, Any], words: str
) -> None:
    page = text_of(bob.post(NEW, form(**changes)))
    assert "The comparison was not started." in page
    assert words in page
    assert not Comparison.objects.exists()


def test_an_unknown_job_is_not_found(bob: Client) -> None:
    assert bob.get("/comparisons/new/?definition=io.nothing").status_code == 404


def test_a_comparison_is_repeated_with_its_own_design(bob: Client, finished: Comparison) -> None:
    page = text_of(bob.get(f"/comparisons/new/?from={finished.pk}"))
    assert re.findall(r'name="preset" value="(\w+)"[^>]* checked', page) == ["own"]
    assert re.search(r'name="rounds" value="5"', page)
    assert re.search(r'<option value="prefork" selected', page)


def test_the_estimate_follows_the_form(bob: Client, finished: Comparison) -> None:
    Job.objects.update(finished_at=timezone.now())
    page = text_of(bob.post("/comparisons/estimate/?definition=io.wait", form(), headers=HTMX))
    assert 'id="takes-standard" hx-swap-oob="true"' in page
    assert "rounds until it is settled" in page
    assert Comparison.objects.count() == 1


def test_a_sweep_has_rounds_and_copies_instead_of_a_budget(bob: Client) -> None:
    page = text_of(bob.post("/comparisons/estimate/?definition=io.wait", form(is_sweep="on"), headers=HTMX))
    assert "5 rounds of 100 jobs, overhead measured" in page
    assert "until it is settled" not in page


def test_two_comparisons_stand_side_by_side_with_what_changed(
    bob: Client, user: Any, finished: Comparison
) -> None:
    after = sample.store(user, copies=60, params={"duration_s": 0.2})
    page = text_of(bob.get(address(finished, f"?with={after.pk}")))
    for words in (
        "Before and after",
        "Parameter duration_s",
        "Copies",
        "chart-before-distributions",
        "chart-after-distributions",
        "chart-changes",
        "within the allowance of 10 %",
    ):
        assert words in page
    assert re.search(r"\d× as long as before \(95 % bounds \d[\d.]*–\d[\d.]*\)", page)
    assert re.search(r'class="outcome (slower|faster|no-change|cannot-tell)"', page)


@pytest.mark.parametrize("other", ["nonsense", str(UUID(int=7)), "itself"])
def test_side_by_side_with_what_is_not_there_is_not_found(
    bob: Client, finished: Comparison, other: str
) -> None:
    wanted = str(finished.pk) if other == "itself" else other
    assert bob.get(address(finished, f"?with={wanted}")).status_code == 404


def test_a_chart_is_downloaded_as_a_picture(bob: Client, finished: Comparison) -> None:
    response = bob.get(address(finished, "charts/ratios.svg"))
    assert response["Content-Type"] == "image/svg+xml"
    assert response["Content-Disposition"].startswith('attachment; filename="io.wait-ratios-')
    assert "io.wait · duration_s=0.1 · 5 rounds of 20 jobs" in text_of(response)


@pytest.mark.parametrize("more", ["charts/nothing.svg", "charts/ratios.exe", "charts/sweep.svg"])
def test_a_picture_that_does_not_exist_is_not_found(bob: Client, finished: Comparison, more: str) -> None:
    assert bob.get(address(finished, more)).status_code == 404


def test_a_picture_that_cannot_be_drawn_says_so(
    bob: Client, finished: Comparison, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "_drawn", lambda *_: (_ for _ in ()).throw(OSError("no engine")))
    response = bob.get(address(finished, "charts/time.png"))
    assert response.status_code == 503


def test_the_report_is_downloaded_as_a_bundle(bob: Client, finished: Comparison) -> None:
    response = bob.get(address(finished, "bundle.zip"))
    assert response["Content-Type"] == "application/zip"
    assert zipfile.ZipFile(io.BytesIO(response.content)).namelist()


VARIANTS = "/comparisons/new/?definition=hazard.shared_counter&vary=guard"


def test_the_page_of_a_hazard_offers_to_compare_its_variants(bob: Client) -> None:
    page = text_of(bob.get("/definitions/hazard.shared_counter/"))
    assert "Compare variants" in page
    assert VARIANTS.replace("&", "&amp;") in page
    assert "Compare variants" not in text_of(bob.get("/definitions/io.wait/"))


def test_the_form_for_variants_chooses_a_pool_that_shows_them_and_quick(bob: Client) -> None:
    page = text_of(bob.get(VARIANTS))
    assert 'value="guard" selected' in page
    assert re.findall(r'name="pools" value="(\w+)"[^>]* checked', page) == ["threads"]
    assert re.findall(r'name="preset" value="(\w+)"[^>]* checked', page) == ["quick"]
    blocked = text_of(bob.get("/comparisons/new/?definition=hazard.blocked_loop&vary=work"))
    assert re.findall(r'name="pools" value="(\w+)"[^>]* checked', blocked) == ["gevent"]


def test_variants_are_planned_and_repeated_with_changes(bob: Client) -> None:
    posted = {"param-updates": "50", "param-guard": "none", "param-workers": "4", "param-window_us": "200",
              "param-seed": "1", "pools": ["threads"], "preset": "quick", "vary": "guard"}  # fmt: skip
    assert bob.post("/comparisons/new/?definition=hazard.shared_counter", posted).status_code == 302
    comparison = Comparison.objects.get()
    assert comparison.vary == {"guard": ["none", "lock", "queue", "save", "f"]}
    assert comparison.batches.filter(role="pilot").count() == 5
    assert "guard=lock" in text_of(bob.get(address(comparison)))
    again = text_of(bob.get(f"/comparisons/new/?from={comparison.pk}"))
    assert 'value="guard" selected' in again
    wrong = bob.post("/comparisons/new/?definition=hazard.shared_counter", {**posted, "baseline": "threads"})
    assert "Variants are compared with the first" in text_of(wrong)


def test_an_ended_comparison_of_variants_speaks_of_variants(bob: Client, user: Any) -> None:
    results_table = {"head": ["", "lost"], "rows": [["guard=none", "644"]]}
    vary = {"guard": ["none", "lock"]}
    changed = sample.report(vary=vary, lesson="644 were lost.", results_table=results_table)
    stored = sample.store(user, report=changed, vary=vary)
    page = text_of(bob.get(address(stored)))
    assert "644 were lost." in page
    assert "Results by variant" in page
    assert '"title": "Variant"' in page
    assert '"title": "Pool"' not in page
    assert "in the band, a variant is equally fast" in page


def test_the_charts_of_two_comparisons_side_by_side_have_the_same_scale() -> None:
    from poolwise.lab import charts
    from poolwise.lab.charts.pairs import on_one_scale

    slow = [
        job._replace(run_s=job.run_s * 3, broker_wait_s=job.broker_wait_s * 3) for job in sample.samples()
    ]
    for key in ("time", "distributions"):
        pair = [charts.chart(key, sample.report(), jobs) for jobs in (sample.samples(), slow)]
        before, after = (
            re.findall(r"'domain': (\[[^]]*\])", str(chart.spec)) for chart in on_one_scale(pair)
        )
        assert before == after
        assert before, key
    assert "'domain'" not in str(pair[0].spec["concat"][0]["layer"][0]["encoding"]["x"].get("axis")), (
        "the originals stay"
    )
