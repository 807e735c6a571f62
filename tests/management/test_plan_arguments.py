from argparse import ArgumentParser
from typing import Any

import pytest

from poolwise.lab import PRESETS
from poolwise.management.plan_arguments import add_plan_arguments, plan_options


def options_of(*arguments: str) -> dict[str, Any]:
    parser = ArgumentParser()
    add_plan_arguments(parser)
    return plan_options(vars(parser.parse_args(arguments)))


def test_without_arguments_one_round_of_a_hundred_is_planned() -> None:
    assert options_of() == {"copies": 100, "rounds": 1, "seed": 0}


def test_explicit_options_override_a_preset() -> None:
    assert options_of("--preset", "quick") == {**PRESETS["quick"].options(), "seed": 0}
    own = options_of("--preset", "thorough", "--copies", "5", "--no-warmup")
    assert (own["copies"], own["rounds"], own["warmup"], own["calibrate"]) == (5, 10, False, True)


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
