"""Plan a comparison: which batches run, in which order."""

import random
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypedDict, Unpack
from uuid import NAMESPACE_URL, uuid5

from django.conf import settings
from django.db import IntegrityError, transaction

from poolwise import definitions
from poolwise.definitions import Definition
from poolwise.lab.presets import PRESETS
from poolwise.lab.variants import MAX_VARIANTS, Variant, Vary, checked, variants_of
from poolwise.lifecycle import heartbeats
from poolwise.models import Batch, Comparison
from poolwise.pools import MAX_CONCURRENCY, PoolSpec, get_pool
from poolwise.support import BrokerUnavailable, InvalidParameters

if TYPE_CHECKING:
    from django.contrib.auth.models import User

_MAX_ROUNDS = 100
_MAX_RATE_PER_S = 1000.0
MAX_BUDGET_S = 3600.0
#: A prefork pool is not grown beyond it, since each process takes memory.
_MAX_PROCESSES = 64
#: The round of warm-up and calibration batches.
BEFORE_ROUNDS = 0
#: What the run of a comparison does not change.
_PLANNED = ("definition", "vary", "preset", "in_flight", "arrival_rate_per_s", "slots", "is_sweep")


class PlanOptions(TypedDict, total=False):
    """How a comparison measures; what is left out has the default of `Comparison`."""

    rounds: int
    seed: int
    warmup: bool
    calibrate: bool
    baseline: str
    preset: str
    budget_s: float | None
    in_flight: int | None
    arrival_rate_per_s: float | None
    slots: int | None
    is_sweep: bool


def plan(
    definition: str,
    params: Mapping[str, Any],
    pools: Sequence[str],
    copies: int,
    *,
    user: "User | None" = None,
    vary: Vary | None = None,
    idempotency_key: str = "",
    **options: Unpack[PlanOptions],
) -> Comparison:
    """Store a comparison with its batches; the coordinator runs it.

    The variants are the pools, or with `vary` (values of parameters by name) each value on each pool. With `budget_s`
    only the pilots are planned: `rounds` adds the rounds. What the user planned before under the same idempotency key
    is returned, and nothing is stored. Raise UnknownDefinition, UnknownPool, Unavailable or
    InvalidParameters and store nothing.
    """
    declared = definitions.get(definition)
    comparison = Comparison(
        definition=declared.name,
        copies=copies,
        user=user if user is not None and user.pk else None,
        vary=checked(declared, params, vary) if vary else None,
        **options,
    )
    planned = variants_of(pools, comparison.vary)
    if faults := _faults(declared, comparison, [get_pool(name) for name in pools], planned):
        raise InvalidParameters(faults)
    comparison.params = declared.validate({**params, **(planned[0].params or {})})
    if idempotency_key:
        comparison.pk = uuid5(NAMESPACE_URL, f"poolwise {comparison.user_id} {idempotency_key}")
        if earlier := _earlier(comparison, declared, pools):
            return earlier
    try:
        with transaction.atomic():
            comparison.save(force_insert=True)
            Batch.objects.bulk_create(_batches(comparison, pools, planned))
    except IntegrityError:  # the same may have been planned meanwhile
        if earlier := _earlier(comparison, declared, pools):
            return earlier
        raise
    return comparison


def _earlier(comparison: Comparison, declared: Definition, pools: Sequence[str]) -> Comparison | None:
    """Return what was planned with this id. Raise InvalidParameters if it is another comparison."""
    earlier = Comparison.objects.filter(pk=comparison.pk).first()
    if earlier is None:
        return None
    is_equal = (
        all(getattr(earlier, name) == getattr(comparison, name) for name in _PLANNED)
        and declared.in_clear(earlier.params) == declared.in_clear(comparison.params)
        and set(earlier.batches.values_list("pool", flat=True)) == set(pools)
    )
    if not is_equal:
        raise InvalidParameters({"idempotency_key": "It belongs to another comparison; choose a new one."})
    earlier.was_there = True
    return earlier


def _faults(
    declared: Definition, comparison: Comparison, pools: Sequence[PoolSpec], planned: Sequence[Variant]
) -> dict[str, str]:
    names = [pool.name for pool in pools]
    compared = [variant.name for variant in planned]
    rules = {
        "vary": (
            len(compared) <= max(MAX_VARIANTS, len(names)),
            f"These are {len(compared)} variants; choose fewer pools or values, at most {MAX_VARIANTS} variants.",
        ),
        "pools": (bool(names) and len(set(names)) == len(names), "Choose at least one pool, each once."),
        "copies": (
            1 <= comparison.copies <= settings.JOB_MAX_COPIES,
            f"Choose 1 to {settings.JOB_MAX_COPIES} copies.",
        ),
        "rounds": (1 <= comparison.rounds <= _MAX_ROUNDS, f"Choose 1 to {_MAX_ROUNDS} rounds."),
        "baseline": (
            comparison.baseline in ("", *compared),
            f"Choose one of the variants: {', '.join(compared)}.",
        ),
        "preset": (comparison.preset in ("", *PRESETS), f"Choose one of {', '.join(PRESETS)}."),
    }
    if comparison.budget_s is not None:
        rules["budget_s"] = (
            0 < comparison.budget_s <= MAX_BUDGET_S and not comparison.is_sweep,
            f"Choose a budget up to {MAX_BUDGET_S:g} s; a sweep has rounds and copies instead.",
        )
    faults = {name: text for name, (holds, text) in rules.items() if not holds}
    if reason := declared.unavailable():
        faults["definition"] = reason
    return faults | _load_faults(comparison) | _slots_faults(comparison, pools)


def _load_faults(comparison: Comparison) -> dict[str, str]:
    in_flight, rate = comparison.in_flight, comparison.arrival_rate_per_s
    if in_flight is not None and rate is not None:
        return {"in_flight": "Choose a limit of jobs in flight or an arrival rate, not both."}
    if in_flight is not None and in_flight < 1:
        return {"in_flight": "Choose at least 1 job in flight."}
    if rate is not None and not 0 < rate <= _MAX_RATE_PER_S:
        return {"arrival_rate_per_s": f"Choose a rate above 0 and at most {_MAX_RATE_PER_S:g} jobs/s."}
    return {}


def _slots_faults(comparison: Comparison, pools: Sequence[PoolSpec]) -> dict[str, str]:
    if comparison.slots is None:
        return {}
    has_processes = any(pool.model == "prefork" for pool in pools)
    most = _MAX_PROCESSES if has_processes and not comparison.is_sweep else MAX_CONCURRENCY
    if 1 <= comparison.slots <= most:
        return {}
    why = ", since each slot of a prefork pool is a process" if has_processes else ""
    return {"slots": f"Choose 1 to {most} slots{why}."}


def _batches(comparison: Comparison, pools: Sequence[str], planned: Sequence[Variant]) -> list[Batch]:
    points = _points(comparison, pools)
    entries = [(variant, slots) for variant in planned for slots in points[variant.pool]]
    rows: list[tuple[int, str, Variant, int | None]] = []
    if comparison.budget_s is not None:
        rows += [(BEFORE_ROUNDS, Batch.Role.PILOT, *entry) for entry in entries]
    elif comparison.warmup:
        rows += [(BEFORE_ROUNDS, Batch.Role.WARMUP, variant, points[variant.pool][-1]) for variant in planned]
    if comparison.calibrate:  # the no-op job has no variants
        first = {variant.pool: variant for variant in reversed(planned)}
        rows += [(BEFORE_ROUNDS, Batch.Role.CALIBRATION, first[pool], points[pool][-1]) for pool in pools]
    if comparison.budget_s is None:
        # One round keeps the order of the pools, values and slots: there is nothing to balance.
        orders = balanced_orders(entries, comparison.seed) if comparison.rounds > 1 else [entries]
        for number in range(1, comparison.rounds + 1):
            order = orders[(number - 1) % len(orders)]
            rows += [(number, Batch.Role.MEASURED, variant, slots) for variant, slots in order]
    return [
        Batch(
            comparison=comparison,
            round=number,
            role=role,
            pool=variant.pool,
            params=variant.params,
            label=variant.label,
            wanted_slots=slots,
            position=position,
        )
        for position, (number, role, variant, slots) in enumerate(rows, start=1)
    ]


def balanced_orders[T](entries: Sequence[T], seed: int) -> list[list[T]]:
    """Return orders in which each entry comes equally often at each place and after each other, shuffled by the seed.

    Source: E. J. Williams, Experimental designs balanced for the estimation of residual effects of treatments, 1949. An
    odd number of entries takes twice as many orders.
    """
    shuffled = list(entries)
    random.Random(seed).shuffle(shuffled)  # noqa: S311 - reproducible by its seed, no secret
    size = len(shuffled)
    zigzag = [(step + 1) // 2 if step % 2 else (size - step // 2) % size for step in range(size)]
    rows = [[(place + shift) % size for place in zigzag] for shift in range(size)]
    rows += [row[::-1] for row in rows] if size % 2 and size > 1 else []
    return [[shuffled[index] for index in row] for row in rows]


def _points(comparison: Comparison, pools: Sequence[str]) -> dict[str, list[int | None]]:
    """Return, per pool, the numbers of slots to measure, the most last; None stands for the pool's own."""
    if not comparison.is_sweep:
        return {pool: [comparison.slots] for pool in pools}
    try:
        up = heartbeats.pools_up()
    except BrokerUnavailable:
        up = {}
    points: dict[str, list[int | None]] = {}
    for pool in pools:
        workers = up.get(pool, [])
        most = sum(worker.slots for worker in workers) or get_pool(pool).concurrency
        most = min(most, comparison.slots or most)
        # A worker has at least one slot.
        points[pool] = list(sweep_points(max(1, len(workers)), max(most, len(workers))))
    return points


def sweep_points(least: int, most: int) -> list[int]:
    """Return the powers of two from `least` to `most`, and `most` itself."""
    powers = [2**exponent for exponent in range(most.bit_length())]
    return [point for point in powers if least <= point < most] + [most]
