"""The yardstick: a fixed piece of work, measured where the workers are."""

from types import SimpleNamespace
from typing import Any

import pytest

from poolwise.lab import report, yardstick
from poolwise.lifecycle import environment
from tests.lab.conftest import Bench, planned


def worker(machine: str) -> Any:
    return SimpleNamespace(machine=machine)


def test_it_takes_some_milliseconds() -> None:
    taken_s = yardstick.measure([worker(environment.machine())])
    assert taken_s is not None
    assert 0.000_5 < taken_s < 0.5


def test_it_is_the_median_so_that_one_interruption_does_not_count(monkeypatch: Any) -> None:
    times = iter([0.005] * 8 + [0.2] + [0.005] * 2)
    monkeypatch.setattr(yardstick, "_timed_s", lambda: next(times))
    assert yardstick.measure([]) == 0.005


def test_it_is_not_measured_beside_workers_of_another_machine() -> None:
    assert yardstick.measure([worker(environment.machine()), worker("elsewhere")]) is None


def test_its_work_is_always_the_same() -> None:
    assert yardstick._piece() == yardstick._piece() == sum(n * n % 7 for n in range(30_000))


@pytest.mark.django_db
def test_it_is_measured_at_the_release_of_each_batch_and_is_in_the_report(bench: Bench) -> None:
    bench.change("alpha-1@h", machine=environment.machine())
    comparison = planned(("alpha",), rounds=2)
    bench.run_on(comparison)
    [figures] = report.build(comparison).pools
    measured = [batch.yardstick_s for batch in figures.batches]
    assert len(measured) == 2
    assert all(measured)
