"""The options of `compare` for the plan: copies, rounds, presets, variants, slots, and how jobs arrive."""

from argparse import ArgumentParser, BooleanOptionalAction
from collections.abc import Mapping, Sequence
from typing import Any

from poolwise.definitions import Definition, value_of
from poolwise.lab import PRESETS, Vary, choices
from poolwise.management.arguments import number, whole
from poolwise.support import PoolwiseError

_DEFAULTS: Mapping[str, Any] = {"copies": 100, "rounds": 1}
#: Without a size, this is measured.
_DEFAULT_PRESET = "quick"
_NAMES = (
    "copies", "rounds", "seed", "warmup", "calibrate", "baseline", "preset", "budget_s", "in_flight", "arrival_rate_per_s",
    "slots", "is_sweep",
)  # fmt: skip


def add_plan_arguments(parser: ArgumentParser) -> None:
    """Declare the arguments that `plan_options` reads."""
    _add_amount(parser)
    _add_variants(parser)
    _add_load(parser)


def _add_amount(parser: ArgumentParser) -> None:
    presets = "; ".join(f"{preset.name}: at most {preset.budget_s:g} s" for preset in PRESETS.values())
    parser.add_argument(
        "--preset",
        choices=tuple(PRESETS),
        help=f"how long to measure ({presets}); rounds are added until the answer is settled (default {_DEFAULT_PRESET})",
    )
    parser.add_argument(
        "--budget",
        dest="budget_s",
        type=number,
        metavar="SECONDS",
        help="measure at most this long instead of a preset",
    )
    parser.add_argument(
        "--copies", type=whole, help="jobs per pool per round, instead of a budget (default 100)"
    )
    parser.add_argument(
        "--rounds", type=whole, help="rounds, instead of a budget; each runs every pool once (default 1)"
    )
    flag: dict[str, Any] = {"action": BooleanOptionalAction, "default": None}
    parser.add_argument("--warmup", **flag, help="run one uncounted batch per pool first")
    parser.add_argument(
        "--calibrate", **flag, help="measure the overhead with one batch of no-op jobs per pool"
    )


def _add_variants(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--seed", type=whole, default=0, help="seed of the order of pools in each round (default 0)"
    )
    parser.add_argument(
        "--baseline", metavar="POOL", help="the pool (or, with --vary, the variant) to compare with"
    )
    parser.add_argument(
        "--vary",
        action="append",
        default=[],
        metavar="NAME[=VALUE,VALUE]",
        help="compare the values of a parameter, or all its choices, on each pool; repeatable",
    )


def _add_load(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--sweep",
        dest="is_sweep",
        action="store_true",
        default=None,
        help="repeat with 1, 2, 4 … slots, up to each pool's own, and find the knee",
    )
    parser.add_argument("--slots", type=whole, help="slots of every pool; with --sweep, the maximum")
    parser.add_argument("--in-flight", type=whole, metavar="N", help="closed loop: at most N jobs at once")
    parser.add_argument(
        "--rate",
        dest="arrival_rate_per_s",
        type=number,
        metavar="PER_S",
        help="ask how long one job takes when so many arrive per second, instead of how much work gets done",
    )


def plan_options(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of `lab.plan`: the preset's, overridden by the given options. Raise PoolwiseError."""
    chosen = {name: given[name] for name in _NAMES if given.get(name) is not None}
    has_rounds = "copies" in chosen or "rounds" in chosen
    if has_rounds and "budget_s" in chosen:
        raise PoolwiseError("--budget: give a budget, or --copies and --rounds, not both.")
    preset = chosen.get("preset", "" if has_rounds or "budget_s" in chosen else _DEFAULT_PRESET)
    is_fixed = has_rounds or bool(given.get("is_sweep"))
    options = PRESETS[preset].options(is_sweep=is_fixed) if preset else {}
    # With copies or rounds of its own it is no comparison of that preset.
    return {**_DEFAULTS, **options, **chosen, **({"preset": ""} if has_rounds else {})}


def vary_of(definition: Definition, texts: Sequence[str]) -> Vary | None:
    """Return the values to compare by parameter. Raise PoolwiseError for a bare name without choices."""
    known, fields = choices(definition), {field.name: field for field in definition.fields}
    values_by_name: dict[str, list[Any]] = {}
    for text in texts:
        name, separator, values = text.partition("=")
        if not separator and name not in known:
            having = f" ({', '.join(known)} has)" if known else ""
            raise PoolwiseError(
                f"--vary {name}: the parameter has no choices{having}; give values: {name}=1,2."
            )
        given = [value_of(fields.get(name), text) for text in values.split(",")]
        values_by_name[name] = given if separator else list(known[name])
    return values_by_name or None
