"""Workers that a command has started are started again between rounds, so that no start passes for a pool."""

from datetime import timedelta

import pytest
from django.utils import timezone

from poolwise.lab import renew_workers, status, to_renew
from poolwise.lab.report import build
from poolwise.models import Batch, Comparison
from poolwise.support.timing import wall_now
from tests.lab.conftest import POOLS, Bench
from tests.lab.test_rounds import budgeted, run, small_batches  # noqa: F401

pytestmark = pytest.mark.django_db
EQUAL = dict.fromkeys(POOLS, 0.1)


class Starter:
    """A command that starts workers again when it is asked to, and notes which."""

    def __init__(self, bench: Bench, comparison: Comparison) -> None:
        self.bench, self.comparison, self.renewed = bench, comparison, list[list[str]]()
        renew_workers(comparison)

    def __call__(self) -> None:
        if pools := to_renew(self.comparison):
            self.renewed.append(pools)
            for pool in pools:
                pid = 100 * len(self.renewed)
                self.bench.change(f"{pool}-1@h", started_at=wall_now() + 0.001, pid=pid)


def test_workers_are_started_again_after_every_two_rounds(bench: Bench) -> None:
    comparison = budgeted(budget_s=600.0)  # of which a slow machine takes real time
    starter = Starter(bench, comparison)
    run(bench, comparison, EQUAL, noise=0.05, at_each=starter, most_steps=40)
    assert {3, 5} <= {b.round for b in measured(comparison)}
    assert [sorted(pools) for pools in starter.renewed[:2]] == [list(POOLS)] * 2
    assert build(comparison).starts >= 3
    pids = {(b.round, b.probe["release"]["workers"][0]["pid"]) for b in measured(comparison)}
    assert {pid for number, pid in pids if number in (1, 2)} == {10}
    assert {pid for number, pid in pids if number in (3, 4)} == {100}


def test_a_fresh_worker_warms_up_before_its_round(bench: Bench) -> None:
    comparison = budgeted()
    run(bench, comparison, EQUAL, noise=0.05, at_each=Starter(bench, comparison), most_steps=30)
    third = list(comparison.batches.filter(round=3).order_by("position"))
    assert [b.role for b in third] == [Batch.Role.WARMUP] * 3 + [Batch.Role.MEASURED] * 3
    for warmup, batch in zip(third[:3], third[3:], strict=True):
        assert warmup.pool == batch.pool
        assert 2 <= (warmup.copies or 0) < (batch.copies or 0)


def test_a_pool_that_is_out_is_not_started_again(bench: Bench) -> None:
    comparison = budgeted()
    starter = Starter(bench, comparison)
    run(
        bench,
        comparison,
        {"alpha": 0.1, "beta": 0.104, "gamma": 0.4},
        noise=0.02,
        at_each=starter,
        most_steps=60,
    )
    assert [sorted(pools) for pools in starter.renewed[:2]] == [list(POOLS), ["alpha", "beta"]]


def test_the_coordinator_waits_for_the_fresh_workers_and_not_for_ever(bench: Bench) -> None:
    comparison = budgeted()
    renew_workers(comparison)
    run(bench, comparison, EQUAL, noise=0.05, most_steps=30)
    assert comparison.state == Comparison.State.RUNNING
    assert {b.round for b in measured(comparison)} == {1, 2}
    comparison.batches.filter(round__lte=2).update(finished_at=timezone.now() - timedelta(seconds=61))
    bench.tick()
    assert comparison.batches.filter(round=3).exclude(released_at=None).count() == 1
    assert to_renew(comparison) == []


def test_the_time_of_starting_workers_is_not_spent(bench: Bench) -> None:
    comparison = budgeted()
    run(bench, comparison, EQUAL, noise=0.05, most_steps=30)
    begin = timezone.now()
    for batch in measured(comparison):
        batch.released_at = begin + timedelta(seconds=100 * batch.round)
        batch.finished_at = batch.released_at + timedelta(seconds=10)
        batch.save()
    comparison.renew_rounds = 2
    comparison.batches.filter(round__gt=4).delete()
    assert status(comparison).spent_s == pytest.approx(220)  # rounds 1 and 2, then 3 and 4


def test_the_time_of_starting_workers_is_not_foreseen_for_the_next_round(bench: Bench) -> None:
    comparison = budgeted(budget_s=20.0)
    run(bench, comparison, EQUAL, noise=0.05, most_steps=30)
    comparison.batches.filter(round__gt=3).delete()
    begin = timezone.now()
    for number, batch in enumerate(measured(comparison)):
        batch.released_at = begin + timedelta(seconds=number + 100 * (batch.round == 3))
        batch.finished_at = batch.released_at + timedelta(seconds=1)
        batch.save()
    comparison.renew_rounds = 2
    assert status(comparison).ends_because == ""  # 9 s of 20 are spent, and a round takes 3 s


def test_workers_of_a_running_platform_stay(bench: Bench) -> None:
    comparison = budgeted()
    run(bench, comparison, EQUAL, noise=0.05, most_steps=30)
    assert to_renew(comparison) == []
    assert not comparison.batches.filter(role=Batch.Role.WARMUP).exists()
    assert build(comparison).starts == 1


def measured(comparison: Comparison) -> list[Batch]:
    return list(comparison.batches.filter(role=Batch.Role.MEASURED).exclude(released_at=None))
