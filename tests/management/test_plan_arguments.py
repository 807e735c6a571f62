from argparse import ArgumentParser
from typing import Any

import pytest

from poolwise.lab import PRESETS
from poolwise.management.plan_arguments import add_plan_arguments, plan_options
from poolwise.support import PoolwiseError


def options_of(*arguments: str) -> dict[str, Any]:
    parser = ArgumentParser()
    add_plan_arguments(parser)
    return plan_options(vars(parser.parse_args(arguments)))


def test_without_arguments_the_preset_quick_is_planned() -> None:
    assert options_of() == options_of("--preset", "quick") == {**PRESETS["quick"].options(), "seed": 0}
    assert (options_of()["budget_s"], options_of()["preset"]) == (30, "quick")


def test_a_budget_replaces_the_preset() -> None:
    assert options_of("--budget", "45") == {"copies": 100, "rounds": 1, "seed": 0, "budget_s": 45}
    assert options_of("--preset", "thorough", "--budget", "45")["budget_s"] == 45


def test_copies_or_rounds_replace_the_budget() -> None:
    assert options_of("--copies", "5") == {"copies": 5, "rounds": 1, "seed": 0, "preset": ""}
    assert options_of("--rounds", "3") == {"copies": 100, "rounds": 3, "seed": 0, "preset": ""}
    own = options_of("--preset", "thorough", "--copies", "5", "--no-warmup")
    assert (own["copies"], own["rounds"], own["budget_s"], own["preset"]) == (5, 10, None, "")
    assert (own["warmup"], own["calibrate"]) == (False, True)


def test_a_budget_beside_copies_or_rounds_is_refused() -> None:
    with pytest.raises(PoolwiseError, match="not both"):
        options_of("--budget", "45", "--rounds", "3")


def test_a_sweep_has_the_copies_and_rounds_of_its_preset() -> None:
    swept = options_of("--sweep", "--preset", "standard")
    assert (swept["budget_s"], swept["copies"], swept["rounds"], swept["warmup"]) == (None, 100, 5, True)


@pytest.mark.parametrize(
    ("arguments", "chosen"),
    [
        (["--warmup", "--calibrate"], {"warmup": True, "calibrate": True}),
        (["--sweep", "--slots", "8"], {"is_sweep": True, "slots": 8}),
        (["--in-flight", "4"], {"in_flight": 4}),
        (["--rate", "2.5"], {"arrival_rate_per_s": 2.5}),
        (["--baseline", "threads"], {"baseline": "threads"}),
    ],
)
def test_each_option_is_an_argument_of_plan(arguments: list[str], chosen: dict[str, Any]) -> None:
    assert chosen.items() <= options_of(*arguments).items()
