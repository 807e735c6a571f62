"""The rounds of a comparison with a time budget: add them until the answer is settled or the budget is spent."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from poolwise import definitions, support
from poolwise.lab import fresh
from poolwise.lab.plan import balanced_orders
from poolwise.lab.presets import rounds_aimed
from poolwise.lab.report.runs import read_runs
from poolwise.lab.sizing import Pilot, batch_s, overlapped
from poolwise.lab.statistics import FEWEST_ROUNDS, LOOKS, Ranking, is_look, rank
from poolwise.lab.validity.fairness import MAX_FAILED_SHARE
from poolwise.models import Batch, Comparison
from poolwise.pools import SYNC_THREADS, get_pool

log = structlog.get_logger(__name__)
#: The round before which batches that took too long become smaller, and how many times too long that is.
_CORRECTED_AT, _TOO_LONG = 2, 1.5
#: The keys in `Batch.probe` of what the answer compares, in seconds, of the jobs that did not succeed, as a share, and
#: of how many ran at once on average.
VALUE_S, FAILED_SHARE, AT_ONCE = "value_s", "failed_share", "at_once"
_FEWEST_COPIES = 2
#: The next round may take so many times as long as the last one.
_LONGER = 1.15
#: The share of a batch that runs uncounted on a fresh worker.
_WARMUP_SHARE = 0.25


@dataclass(frozen=True, slots=True)
class Status:
    """How far a comparison with a budget is."""

    ranking: Ranking
    rounds: int
    spent_s: float
    budget_s: float
    ends_because: str = ""

    @property
    def left_s(self) -> float:
        """Return the seconds that are left of the budget."""
        return max(0.0, self.budget_s - self.spent_s)


def add_round(comparison: Comparison) -> bool:
    """Plan the next round of a comparison whose batches have all ended; return False if it has enough."""
    if comparison.budget_s is None:
        return False
    batches = list(comparison.batches.order_by("position"))
    measured = [batch for batch in batches if batch.role == Batch.Role.MEASURED]
    now = status(comparison, batches)
    if measured and now.ends_because:
        log.debug("rounds ended", comparison=str(comparison.pk), rounds=now.rounds, reason=now.ends_because)
        return False
    number = now.rounds + 1
    with transaction.atomic():
        # The row is locked from here on: another coordinator cannot add the same round.
        live = Comparison.objects.filter(pk=comparison.pk, state=Comparison.State.RUNNING)
        if not live.update(rounds=number) or comparison.batches.filter(round=number).exists():
            return True
        rows = Batch.objects.bulk_create(_batches(comparison, batches, now.ranking, number))
        largest = max((batch.copies or 0 for batch in rows), default=1)
        live.update(copies=largest if number == 1 else max(comparison.copies, largest))
    return True


def status(comparison: Comparison, batches: Sequence[Batch] | None = None) -> Status:
    """Return how far a comparison is: its ranking so far, and why it ends, empty if it goes on."""
    rows = list(comparison.batches.order_by("position")) if batches is None else batches
    measured = [b for b in rows if b.role == Batch.Role.MEASURED and not b.void_reason and b.finished_at]
    ranking = rank(values(measured), looked=True)
    rounds = max((batch.round for batch in measured), default=0)
    spent_s, budget_s = _spent_s(comparison, rows), comparison.budget_s or 0.0
    ends = _ends_because(
        ranking, rounds, spent_s + _LONGER * _round_s(comparison, measured, ranking), budget_s
    )
    return Status(ranking, rounds, spent_s, budget_s, ends)


def values(measured: Sequence[Batch]) -> dict[str, dict[int, float]]:
    """Return what the answer compares, by variant and round; nothing of variants whose jobs fail."""
    samples: dict[str, dict[int, float]] = {}
    failing = {b.variant for b in measured if b.probe.get(FAILED_SHARE, 0.0) > MAX_FAILED_SHARE}
    for batch in measured:
        kept = samples.setdefault(batch.variant, {})
        if batch.variant not in failing and batch.probe.get(VALUE_S):
            kept[batch.round] = batch.probe[VALUE_S]
    return samples


def _ends_because(ranking: Ranking, rounds: int, spent_s: float, budget_s: float) -> str:
    if rounds and len(ranking.candidates) + len(ranking.out) < 2:
        return "fewer than two variants can be compared"
    if rounds >= FEWEST_ROUNDS and is_look(rounds) and ranking.is_settled:
        return "the answer is settled"
    if rounds >= FEWEST_ROUNDS and spent_s > budget_s:
        return "the budget is spent"
    return "the most rounds were run" if rounds >= LOOKS[-1] else ""


def _spent_s(comparison: Comparison, batches: Sequence[Batch]) -> float:
    """Return the seconds from the first release of a measured batch to the end of the last one, or to now.

    The time in which workers were started again is left out.
    """
    spans: dict[int, list[datetime]] = defaultdict(list)
    for batch in batches:
        if batch.role == Batch.Role.MEASURED and batch.released_at:
            times = spans[fresh.generation(comparison, batch.round)]
            times += [batch.released_at, batch.finished_at or timezone.now()]
    return sum((max(times) - min(times)).total_seconds() for times in spans.values())


def _round_s(comparison: Comparison, measured: Sequence[Batch], ranking: Ranking) -> float:
    """Return how long the next round will take, by the last batch of each candidate and what came between batches."""
    latest: dict[str, timedelta] = {}
    before: dict[int, datetime] = {}  # by generation: starting workers again is not spent, and not foreseen
    for batch in measured:
        if batch.released_at and batch.finished_at:
            generation = fresh.generation(comparison, batch.round)
            latest[batch.variant] = batch.finished_at - before.get(generation, batch.released_at)
            before[generation] = batch.finished_at
    return sum(took.total_seconds() for name, took in latest.items() if name in ranking.candidates)


def _batches(comparison: Comparison, batches: Sequence[Batch], ranking: Ranking, number: int) -> list[Batch]:
    """Return the batches of a round: of every variant at first, then of those that may still be the fastest."""
    pilots = {
        batch.variant: batch for batch in batches if batch.role == Batch.Role.PILOT and not batch.void_reason
    }
    sizes = {b.variant: b.copies for b in batches if b.role == Batch.Role.MEASURED}
    if not sizes:
        sizes = {name: copies_after(comparison, pilot, len(pilots)) for name, pilot in pilots.items()}
    elif number == _CORRECTED_AT:
        sizes |= {
            b.variant: _corrected(comparison, b, len(pilots))
            for b in batches
            if b.round == number - 1 and b.copies
        }
    staying = [
        pilots[name] for name in sorted(pilots) if number <= FEWEST_ROUNDS or name in ranking.candidates
    ]
    orders = balanced_orders(staying, comparison.seed)
    order = orders[(number - 1) % len(orders)]
    rows = [(pilot, Batch.Role.MEASURED, sizes[pilot.variant] or 1) for pilot in order]
    if fresh.begin_with(comparison, number):
        warmups = [
            (pilot, Batch.Role.WARMUP, max(_FEWEST_COPIES, int(copies * _WARMUP_SHARE)))
            for pilot, _, copies in rows
        ]
        rows = warmups + rows
    last = max(batch.position for batch in batches)
    return [
        Batch(
            comparison=comparison, round=number, role=role, pool=pilot.pool, params=pilot.params, label=pilot.label,
            wanted_slots=pilot.wanted_slots, copies=copies, position=last + place,
        )
        for place, (pilot, role, copies) in enumerate(rows, start=1)
    ]  # fmt: skip


def _corrected(comparison: Comparison, batch: Batch, variants: int) -> int:
    """Return the copies of a batch, fewer if it took much longer than its pilot promised: the budget is for rounds."""
    took_s = (batch.probe.get(VALUE_S) or 0.0) * (batch.copies or 1)
    longest_s = _TOO_LONG * _target_s(comparison, variants)
    if comparison.arrival_rate_per_s or took_s <= longest_s:
        return batch.copies or 1
    beside = overlapped(batch.probe.get(AT_ONCE))
    least = min(batch.copies or 1, _usable_slots(comparison, batch)) if beside else _FEWEST_COPIES
    return max(least, round((batch.copies or 1) * longest_s / took_s))


def _target_s(comparison: Comparison, variants: int) -> float:
    budget_s = comparison.budget_s or 1.0
    return batch_s(budget_s, variants, rounds_aimed(budget_s))


def copies_after(comparison: Comparison, pilot: Batch, variants: int) -> int:
    """Return how many jobs the batches of a variant have, by its pilot."""
    target_s = _target_s(comparison, variants)
    if comparison.arrival_rate_per_s:
        return max(2, min(settings.JOB_MAX_COPIES, round(comparison.arrival_rate_per_s * target_s)))
    shown = Pilot.of(read_runs([pilot]))
    slots, cores = _usable_slots(comparison, pilot), 1
    if get_pool(pilot.pool).model == "prefork":
        cores = support.cores()
    return shown.copies(slots, target_s, settings.JOB_MAX_COPIES, cores) if shown else slots


def _usable_slots(comparison: Comparison, batch: Batch) -> int:
    """Return how many jobs of the batch can run at once."""
    slots = min(batch.slots or 1, comparison.in_flight or batch.slots or 1)
    in_threads = (
        get_pool(batch.pool).model == "asyncio" and not definitions.get(comparison.definition).async_body
    )
    return min(slots, SYNC_THREADS) if in_threads else slots
