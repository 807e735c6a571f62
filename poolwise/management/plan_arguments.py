"""How a comparison is to run, as arguments of a command."""

from argparse import ArgumentParser, BooleanOptionalAction
from collections.abc import Mapping, Sequence
from typing import Any

from poolwise.definitions import Definition, value_of
from poolwise.lab import PRESETS, Vary, choices
from poolwise.support import PoolwiseError

_DEFAULTS: Mapping[str, Any] = {"copies": 100, "rounds": 1}
_NAMES = (
    "copies", "rounds", "seed", "warmup", "calibrate", "baseline", "preset", "in_flight", "arrival_rate_per_s",
    "slots", "is_sweep",
)  # fmt: skip


def add_plan_arguments(parser: ArgumentParser) -> None:
    """Declare the arguments that `plan_options` reads."""
    presets = "; ".join(f"{one.name}: {one.rounds} rounds of {one.copies}" for one in PRESETS.values())
    parser.add_argument(
        "--preset", choices=tuple(PRESETS), default=None, help=f"how much to measure; {presets}"
    )
    parser.add_argument("--copies", type=int, help="jobs a pool and round (100)")
    parser.add_argument("--rounds", type=int, help="rounds, each over all pools (1)")
    parser.add_argument("--seed", type=int, default=0, help="shuffles the order of pools within a round (0)")
    parser.add_argument(
        "--baseline",
        metavar="POOL",
        help="the pool, or with --vary the variant, that others are compared with",
    )
    parser.add_argument(
        "--vary",
        action="append",
        default=[],
        metavar="NAME[=VALUE,VALUE]",
        help="compare the values of a parameter, or all its choices, on each pool",
    )
    parser.add_argument(
        "--warmup",
        action=BooleanOptionalAction,
        default=None,
        help="run a batch a pool first that does not count",
    )
    parser.add_argument(
        "--calibrate",
        action=BooleanOptionalAction,
        default=None,
        help="measure the overhead by a batch of no-op jobs a pool",
    )
    parser.add_argument(
        "--sweep",
        dest="is_sweep",
        action="store_true",
        default=None,
        help="over 1, 2, 4 … slots of each pool",
    )
    parser.add_argument(
        "--slots", type=int, help="as many slots for every pool; with --sweep, at most so many"
    )
    parser.add_argument("--in-flight", type=int, metavar="N", help="closed loop: at most N jobs at once")
    parser.add_argument(
        "--rate",
        dest="arrival_rate_per_s",
        type=float,
        metavar="PER_S",
        help="open loop: so many jobs a second, whether others have ended or not",
    )


def plan_options(given: Mapping[str, Any], *, variants: int = 2) -> dict[str, Any]:
    """Return the arguments of `comparisons.plan`: the preset's for so many variants, overridden by what was given."""
    preset = given.get("preset")
    chosen = {name: given[name] for name in _NAMES if given.get(name) is not None}
    return {**_DEFAULTS, **(PRESETS[preset].for_variants(variants).options() if preset else {}), **chosen}


def vary_of(definition: Definition, texts: Sequence[str]) -> Vary | None:
    """Return the values to compare by parameter. Raise PoolwiseError for a name alone that has no choices."""
    known, fields = choices(definition), {field.name: field for field in definition.fields}
    found: dict[str, list[Any]] = {}
    for text in texts:
        name, separator, values = text.partition("=")
        if not separator and name not in known:
            having = f" ({', '.join(known)} has)" if known else ""
            raise PoolwiseError(f"--vary {name}: it has no choices{having}; give values: {name}=1,2.")
        found[name] = (
            [value_of(fields.get(name), one) for one in values.split(",")] if separator else list(known[name])
        )
    return found or None
