"""Comparisons of the values of a parameter: on one pool or on several."""

from typing import Any

import pytest

from poolwise.definitions import get
from poolwise.lab import Preset, choices, estimate_before, plan
from poolwise.lab.progress import progress
from poolwise.lab.report import facts
from poolwise.management.plan_arguments import vary_of
from poolwise.models import Batch, Comparison, Job
from poolwise.support.errors import InvalidParameters
from tests.lab.conftest import Bench

pytestmark = pytest.mark.django_db
GUARDS = ["none", "lock", "f"]


def counter(pools: tuple[str, ...] = ("alpha",), **options: Any) -> Comparison:
    given = {"vary": {"guard": GUARDS}, **options}
    return plan("hazard.shared_counter", {"updates": 10}, pools, 2, **given)


def test_each_value_has_a_batch_in_each_round_in_an_order_that_the_seed_decides(bench: Bench) -> None:
    orders = [
        list(counter(rounds=4, seed=seed).batches.order_by("position").values_list("round", "label"))
        for seed in (3, 3, 4)
    ]
    assert orders[0] == orders[1] != orders[2]
    variants = [f"guard={guard}" for guard in GUARDS]
    for number in range(1, 5):
        assert sorted(label for round_, label in orders[0] if round_ == number) == sorted(variants)


@pytest.mark.parametrize("seed", range(4))
def test_the_first_value_is_the_baseline_whatever_order_the_rounds_have(bench: Bench, seed: int) -> None:
    assert facts.read(counter(rounds=3, seed=seed)).baseline == "guard=none"


def test_the_jobs_of_a_batch_have_its_own_value(bench: Bench) -> None:
    comparison = counter()
    bench.run_on(comparison)
    assert comparison.state == Comparison.State.FINISHED
    for batch in comparison.batches.all():
        guards = {job.params["guard"] for job in Job.objects.filter(batch=batch)}
        assert guards == {batch.params["guard"]}
        assert batch.variant == f"guard={batch.params['guard']}"
        assert set(batch.jobs.values_list("params__updates", flat=True)) == {10}


def test_values_on_several_pools_name_the_pool_and_calibrate_each_pool_once(bench: Bench) -> None:
    comparison = counter(("alpha", "beta"), calibrate=True, warmup=True)
    labels = set(comparison.batches.filter(role="measured").values_list("label", flat=True))
    assert labels == {f"guard={guard} on {pool}" for guard in GUARDS for pool in ("alpha", "beta")}
    assert comparison.batches.filter(role="warmup").count() == 6
    assert list(comparison.batches.filter(role="calibration").values_list("pool", flat=True)) == [
        "alpha",
        "beta",
    ]


def test_progress_and_estimate_are_by_variant(bench: Bench) -> None:
    past = counter()
    assert list(progress(past)) == [f"guard={guard}" for guard in GUARDS]
    bench.run_on(past)
    assert [done["ended"] for done in progress(past).values()] == [2, 2, 2]
    params = past.params
    own = Preset("own", "Own", "", None, 10, 2, warmup=False, calibrate=False)
    estimate = estimate_before("hazard.shared_counter", params, ["alpha"], own, {"guard": GUARDS})
    assert estimate is not None
    assert estimate > 2 * 3 * 1.0, "a batch takes a second beside its jobs"
    quick = estimate_before("hazard.shared_counter", params, ["alpha"], "quick", {"guard": GUARDS})
    assert quick == pytest.approx(30 + 3 * 1.5)


def test_a_void_batch_of_a_variant_is_repeated_as_that_variant(bench: Bench) -> None:
    comparison = counter()
    bench.tick()
    void = comparison.batches.get(released_at__isnull=False)
    bench.end_jobs("cancelled")
    bench.tick()
    again = comparison.batches.get(position=void.position + 1)
    assert (again.label, again.params, again.round) == (void.label, void.params, void.round)


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"vary": {"gurad": ["none", "lock"]}}, "guard"),
        ({"vary": {"guard": ["none"]}}, "two values"),
        ({"vary": {"guard": ["none", "none"]}}, "two values"),
        ({"vary": {"guard": ["none", "faith"]}}, "guard"),
        ({"vary": {"updates": [1, -1]}}, "updates"),
        ({"vary": {"updates": [[1], [2]]}}, "not lists"),
        ({"vary": {"updates": list(range(1, 14))}}, "13 variants"),
        ({"baseline": "alpha"}, "guard=none"),
    ],
)
def test_what_cannot_be_compared_is_refused_and_stores_nothing(bench: Bench, changed: Any, text: str) -> None:
    with pytest.raises(InvalidParameters, match=text):
        counter(**changed)
    assert not Comparison.objects.exists()
    assert not Batch.objects.exists()


def test_a_value_that_does_not_fit_into_a_name_is_refused(bench: Bench) -> None:
    with pytest.raises(InvalidParameters, match="short text"):
        plan("endings.raise_error", {}, ("alpha",), 1, vary={"message": ["a", "b\nc"]})


def test_with_a_budget_each_variant_has_a_pilot_of_its_own(bench: Bench) -> None:
    comparison = counter(budget_s=30.0)
    assert list(comparison.batches.order_by("position").values_list("role", "label")) == [
        ("pilot", f"guard={guard}") for guard in GUARDS
    ]


def test_the_command_names_values_or_takes_all_choices() -> None:
    definition = get("hazard.shared_counter")
    assert vary_of(definition, ["guard"]) == {"guard": ["none", "lock", "queue", "save", "f"]}
    assert vary_of(definition, ["guard=none,f", "updates=10,20"]) == {
        "guard": ["none", "f"],
        "updates": [10, 20],
    }
    assert vary_of(definition, []) is None
    with pytest.raises(Exception, match="updates=1,2"):
        vary_of(definition, ["updates"])
    assert list(choices(definition)) == ["guard"]
