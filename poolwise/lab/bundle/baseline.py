"""A bundle as the baseline of a check: whether it can be one, and its rounds planned again. docs/report.md."""

import socket
from collections.abc import Collection, Mapping
from statistics import median_low
from typing import Any

from django.db import transaction

from poolwise.lab.bundle import regression
from poolwise.lab.bundle.reading import Bundle
from poolwise.lab.bundle.shape import PlannedComparison
from poolwise.lab.plan import plan
from poolwise.lab.report import Report, VariantFigures
from poolwise.lab.statistics import FEWEST_ROUNDS, sessions
from poolwise.lifecycle import environment, heartbeats
from poolwise.models import Batch, Comparison
from poolwise.pools import get_pool
from poolwise.support import BrokerUnavailable, count, percent

#: A check that finds only slowdowns beyond this factor of what is allowed is none.
_WORST = 1.5
_AGAIN = "record a new bundle with `compare --bundle`"


def faults(
    report: Report,
    *,
    now: Mapping[str, Any] | None,
    slots: Mapping[str, int],
    pools: Collection[str],
    max_regression: float,
) -> list[str]:
    """Return why a check against the report would have no result, each with what to do; empty if it can be checked.

    `now` is the environment, None if not known, `slots` are those that each pool will have, `pools` those that are
    checked.
    """
    is_measured = regression.has_yardstick(report)
    reason = now and regression.hardware_fault(report.environment, now, is_measured)
    if reason:
        return [f"{reason[0].upper()}{reason[1:]}. {_AGAIN[0].upper()}{_AGAIN[1:]} on this machine."]
    alpha, found = _alpha(report, pools), []
    for variant in _checked(report, pools):
        reason = _unfit(report, variant, slots.get(variant.pool)) or _blind(
            report, variant, alpha, max_regression
        )
        found += [reason] if reason else []
    return found


def _checked(report: Report, pools: Collection[str]) -> list[VariantFigures]:
    return [variant for variant in report.pools if variant.pool in pools]


def _alpha(report: Report, pools: Collection[str]) -> float:
    return sessions.ALPHA / max(1, len(_checked(report, pools)))


def _unfit(report: Report, variant: VariantFigures, slots: int | None) -> str:
    name, rounds = variant.name, len(regression.rounds_of(report)[variant.name])
    if rounds < FEWEST_ROUNDS:
        return f"{name} has {count(rounds, 'round')} in the bundle: {_AGAIN} and `--rounds 10`."
    if slots is not None and variant.slots != slots:
        return f"{name} had {variant.slots} slots and has {slots} now: set its slots as before, or {_AGAIN}."
    if reason := regression.failed_check(report, name):
        return f"{name}: {reason.rstrip('.')}: {_AGAIN}, or leave the pool out with `--pools`."
    return ""


def _blind(report: Report, variant: VariantFigures, alpha: float, max_regression: float) -> str:
    smallest = _smallest(report, variant, alpha, max_regression)
    if smallest <= _WORST * (1 + max_regression):
        return ""
    return (
        f"{variant.name}: its rounds differ so much that only a slowdown of {percent(smallest - 1)} would be "
        f"found: {_AGAIN} and more `--rounds`, or on a machine that does nothing else."
    )


def smallest_found(report: Report, pools: Collection[str], *, max_regression: float) -> dict[str, float]:
    """Return, by variant, how many times as long its jobs must take for a check to find it in 95 of 100 runs."""
    alpha = _alpha(report, pools)
    return {
        variant.name: _smallest(report, variant, alpha, max_regression) for variant in _checked(report, pools)
    }


def _smallest(report: Report, variant: VariantFigures, alpha: float, max_regression: float) -> float:
    return sessions.smallest_found(
        regression.rounds_of(report)[variant.name],
        alpha=alpha,
        allowance=max_regression,
        follows=regression.follows(report, variant.name),
    )


def environment_now() -> dict[str, Any] | None:
    """Return the environment that a check would have; None if a coordinator on another host captures it."""
    try:
        is_elsewhere = heartbeats.coordinator_is_up() and not heartbeats.coordinator_is_up(
            socket.gethostname()
        )
    except BrokerUnavailable:
        is_elsewhere = False
    return None if is_elsewhere else environment.capture()


def slots_now(planned: PlannedComparison) -> dict[str, int]:
    """Return the slots that each pool would have in the comparison: as planned, of its workers, or as declared."""
    try:
        up = heartbeats.pools_up()
    except BrokerUnavailable:
        up = {}
    most = {
        pool: sum(worker.slots for worker in up.get(pool, ())) or get_pool(pool).concurrency
        for pool in planned.pools
    }
    if planned.slots is None:
        return most
    return {
        pool: min(own, planned.slots) if planned.is_sweep else planned.slots for pool, own in most.items()
    }


def plan_again(bundle: Bundle, pools: list[str]) -> Comparison:
    """Plan the rounds of a bundle's comparison again on these pools, as many and as large as they were.

    A time budget would end them at another number, and its pilots would size them differently. Raise what `plan` raises.
    """
    planned, variants = bundle.manifest.comparison, _checked(bundle.report, pools)
    sizes = {v.name: median_low(batch.jobs for batch in v.counted) for v in variants if v.counted}
    rounds = max((len(variant.counted) for variant in variants), default=planned.rounds)
    options = planned.model_dump() | {"pools": pools, "budget_s": None}
    if planned.budget_s is not None:
        options |= {"rounds": rounds, "copies": max(sizes.values(), default=planned.copies), "warmup": True}
    if pools != planned.pools:
        options["baseline"] = ""
    with transaction.atomic():
        comparison = plan(**options)
        batches = [b for b in comparison.batches.filter(role=Batch.Role.MEASURED) if b.variant in sizes]
        for batch in batches:
            batch.copies = sizes[batch.variant]
        Batch.objects.bulk_update(batches, ["copies"])
    return comparison
