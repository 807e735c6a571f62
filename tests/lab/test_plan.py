import itertools
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from poolwise.lab import PRESETS, Preset, estimate_before, plan
from poolwise.lab.plan import sweep_points
from poolwise.models import Batch, Comparison, Job
from poolwise.support.errors import InvalidParameters, UnknownDefinition, UnknownPool
from tests.lab.conftest import POOLS, Bench, order_of, planned

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("changed", "error", "text"),
    [
        ({"definition": "io.wiat"}, UnknownDefinition, "io.wait"),
        ({"pools": ["alpha", "delta"]}, UnknownPool, "delta"),
        ({"pools": []}, InvalidParameters, "pools"),
        ({"pools": ["alpha", "alpha"]}, InvalidParameters, "each once"),
        ({"params": {"duration_s": -1}}, InvalidParameters, "duration_s"),
        ({"params": {"x": 1}}, InvalidParameters, "x"),
        ({"copies": 0}, InvalidParameters, "copies"),
        ({"copies": 1001}, InvalidParameters, "copies"),
        ({"rounds": 0}, InvalidParameters, "rounds"),
        ({"rounds": 101}, InvalidParameters, "rounds"),
        ({"baseline": "delta"}, InvalidParameters, "baseline"),
        ({"preset": "endless"}, InvalidParameters, "quick"),
        ({"in_flight": 0}, InvalidParameters, "in_flight"),
        ({"arrival_rate_per_s": 0.0}, InvalidParameters, "arrival_rate_per_s"),
        ({"arrival_rate_per_s": float("nan")}, InvalidParameters, "arrival_rate_per_s"),
        ({"in_flight": 1, "arrival_rate_per_s": 1.0}, InvalidParameters, "not both"),
        ({"slots": 0}, InvalidParameters, "slots"),
        ({"budget_s": 0.0}, InvalidParameters, "budget_s"),
        ({"budget_s": float("nan")}, InvalidParameters, "budget_s"),
        ({"budget_s": 3601.0}, InvalidParameters, "budget_s"),
        ({"budget_s": 30.0, "is_sweep": True}, InvalidParameters, "a sweep has rounds and copies"),
    ],
)
def test_an_invalid_plan_is_refused_and_stores_nothing(
    bench: Bench, changed: Any, error: Any, text: str
) -> None:
    given = {"definition": "io.wait", "params": {}, "pools": list(POOLS), "copies": 1, **changed}
    with pytest.raises(error, match=text):
        plan(**given)
    assert not Comparison.objects.exists()
    assert not Batch.objects.exists()


def test_a_prefork_pool_has_a_maximum_of_slots(settings: Any) -> None:
    settings.JOB_POOLS = {"prefork": {"model": "prefork", "queue": "prefork", "concurrency": 2}}
    with pytest.raises(InvalidParameters, match="process"):
        planned(("prefork",), slots=65)


def test_a_plan_has_one_batch_per_pool_and_round_and_no_job_yet(bench: Bench) -> None:
    comparison = planned(rounds=2)
    assert comparison.state == Comparison.State.PLANNED
    assert sorted(order_of(comparison)) == [(n, pool) for n in (1, 2) for pool in POOLS]
    assert list(comparison.batches.values_list("position", flat=True)) == [1, 2, 3, 4, 5, 6]
    assert not Job.objects.exists()


def test_one_round_keeps_the_order_of_the_pools(bench: Bench) -> None:
    assert order_of(planned(("gamma", "alpha"), seed=7)) == [(1, "gamma"), (1, "alpha")]


def test_each_pool_comes_equally_often_at_each_place(bench: Bench) -> None:
    places = Counter[tuple[int, str]]()
    for position, (_, pool) in enumerate(order_of(planned(rounds=6, seed=7))):
        places[position % 3, pool] += 1
    assert places == dict.fromkeys(itertools.product(range(3), POOLS), 2)


def test_the_seed_alone_decides_the_order_of_the_rounds(bench: Bench) -> None:
    orders = [order_of(planned(rounds=6, seed=seed)) for seed in (1, 1, 2, 3, 4, 5)]
    assert orders[0] == orders[1]
    assert len({tuple(order) for order in orders}) > 1
    rounds = {tuple(pool for n, pool in orders[0] if n == number) for number in range(1, 7)}
    assert len(rounds) == 6


def test_warm_up_and_calibration_come_before_the_rounds(bench: Bench) -> None:
    comparison = planned(("alpha", "beta"), warmup=True, calibrate=True, slots=4)
    rows = list(comparison.batches.order_by("position").values_list("role", "round", "pool", "wanted_slots"))
    assert rows == [
        ("warmup", 0, "alpha", 4),
        ("warmup", 0, "beta", 4),
        ("calibration", 0, "alpha", 4),
        ("calibration", 0, "beta", 4),
        ("measured", 1, "alpha", 4),
        ("measured", 1, "beta", 4),
    ]


@pytest.mark.parametrize(
    ("least", "most", "points"),
    [(1, 1, [1]), (1, 2, [1, 2]), (1, 6, [1, 2, 4, 6]), (1, 8, [1, 2, 4, 8]), (3, 9, [4, 8, 9]), (5, 5, [5])],
)
def test_a_sweep_doubles_the_slots_up_to_the_most(least: int, most: int, points: list[int]) -> None:
    assert sweep_points(least, most) == points


def test_a_sweep_covers_the_slots_that_each_pool_has(bench: Bench) -> None:
    bench.change("alpha-1@h", slots=6)
    bench.add("beta-2@h", "beta", slots=3)
    bench.heartbeat()
    comparison = planned(("alpha", "beta"), is_sweep=True, warmup=True)
    measured = comparison.batches.filter(role="measured").order_by("position")
    assert list(measured.values_list("pool", "wanted_slots")) == [
        *(("alpha", slots) for slots in (1, 2, 4, 6)),
        *(("beta", slots) for slots in (2, 4, 5)),
    ]
    warmup = comparison.batches.filter(role="warmup").order_by("position")
    assert list(warmup.values_list("wanted_slots", flat=True)) == [6, 5]


def test_with_a_budget_the_pilots_come_first_and_rounds_are_added_later(bench: Bench) -> None:
    comparison = planned(("alpha", "beta"), budget_s=30.0, warmup=True, calibrate=True, rounds=5)
    rows = list(comparison.batches.order_by("position").values_list("role", "round", "pool"))
    assert rows == [
        ("pilot", 0, "alpha"),
        ("pilot", 0, "beta"),
        ("calibration", 0, "alpha"),
        ("calibration", 0, "beta"),
    ]


def test_a_preset_has_a_plan_with_its_budget(bench: Bench) -> None:
    assert {name: preset.budget_s for name, preset in PRESETS.items()} == {
        "quick": 30, "standard": 120, "thorough": 600,
    }  # fmt: skip
    comparison = plan("io.wait", {}, POOLS, **PRESETS["standard"].options())
    assert (comparison.preset, comparison.budget_s, comparison.warmup) == ("standard", 120, False)
    assert {batch.role for batch in comparison.batches.all()} == {"pilot", "calibration"}


def test_a_sweep_has_the_copies_and_rounds_of_a_preset(bench: Bench) -> None:
    comparison = plan("io.wait", {}, ("alpha",), **PRESETS["quick"].options(is_sweep=True), is_sweep=True)
    assert (comparison.budget_s, comparison.copies, comparison.rounds, comparison.warmup) == (
        None,
        12,
        5,
        True,
    )
    assert comparison.batches.filter(role="measured").count() == 5 * 2


def test_a_preset_takes_its_budget_at_most_and_what_comes_before(bench: Bench) -> None:
    quick, thorough = (estimate_before("io.wait", {}, POOLS, name) for name in ("quick", "thorough"))
    assert quick == pytest.approx(30 + 3 * 1.5)
    assert thorough == pytest.approx(600 + 3 * 2 * 1.5)


FIXED = Preset("own", "Own", "", None, 20, 5, warmup=False, calibrate=False)


def test_copies_and_rounds_are_estimated_from_earlier_batches(bench: Bench) -> None:
    assert estimate_before("io.wait", {"duration_s": 0.01}, ("alpha",), FIXED) is None
    past = planned(("alpha",), copies=10)
    bench.run_on(past)
    first = past.batches.get()
    Batch.objects.update(finished_at=first.released_at + timedelta(seconds=2))
    before = estimate_before("io.wait", {"duration_s": 0.01}, ("alpha",), FIXED)
    assert before == pytest.approx(5 * (20 * 0.2 + 1))
    Batch.objects.update(copies=100)  # as a pilot sized it
    sized = estimate_before("io.wait", {"duration_s": 0.01}, ("alpha",), FIXED)
    assert sized == pytest.approx(5 * (20 * 0.02 + 1))
