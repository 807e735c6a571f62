from typing import Any

import pytest

from poolwise.lab import progress, slots, stop
from poolwise.lifecycle.heartbeats import COORDINATOR, Heartbeat, send
from poolwise.models import Comparison, Job
from tests.lab.conftest import Bench, planned

pytestmark = pytest.mark.django_db


@pytest.fixture
def requested(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """The slots requested of workers; they change them at once."""
    requests: list[tuple[str, int]] = []

    def change(worker: str, more: int) -> None:
        requests.append((worker, more))
        bench.change(worker, slots=bench.workers[worker].slots + more)

    monkeypatch.setattr(slots, "_ask", change)
    monkeypatch.setattr(slots, "_ON_ITS_WAY_S", 0.0)
    return requests


def test_slots_are_set_before_a_batch_and_restored_afterwards(
    bench: Bench, requested: Any, own_keys: Any
) -> None:
    bench.add("beta-2@h", "beta", slots=4)
    comparison = planned(("alpha", "beta"), slots=5)
    send(own_keys, Heartbeat("c@h", COORDINATOR, 1, "h"))
    assert bench.tick() == 0
    assert requested == [("alpha-1@h", 3)]
    assert progress(comparison)["alpha"]["note"] == "Setting the slots of alpha to 5."
    bench.run_on(comparison)
    assert requested[:3] == [("alpha-1@h", 3), ("beta-1@h", 1), ("beta-2@h", -2)]
    assert list(comparison.batches.values_list("slots", flat=True)) == [5, 5]
    assert {name: worker.slots for name, worker in bench.workers.items()} == {
        "alpha-1@h": 2, "beta-1@h": 2, "beta-2@h": 4, "gamma-1@h": 2,
    }  # fmt: skip
    comparison.refresh_from_db()
    assert comparison.changed_slots is None


def test_a_sweep_measures_each_pool_at_each_number_of_slots(bench: Bench, requested: Any) -> None:
    bench.change("alpha-1@h", slots=4)
    bench.heartbeat()
    comparison = planned(("alpha",), is_sweep=True)
    bench.run_on(comparison)
    assert list(comparison.batches.values_list("wanted_slots", "slots")) == [(1, 1), (2, 2), (4, 4)]
    assert bench.workers["alpha-1@h"].slots == 4


def test_a_sweep_may_change_the_slots_as_often_as_it_has_batches(bench: Bench, requested: Any) -> None:
    bench.change("alpha-1@h", slots=4)
    bench.heartbeat()
    comparison = planned(("alpha",), is_sweep=True, rounds=5)
    bench.run_on(comparison)
    assert comparison.state == Comparison.State.FINISHED, comparison.end_reason
    assert len(requested) > 8


def test_slots_are_not_requested_again_before_a_newer_heartbeat(
    bench: Bench, requested: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slots, "_ON_ITS_WAY_S", 60)
    planned(("alpha",), slots=5)
    assert [bench.tick() for _ in range(3)] == [0, 0, 0]
    assert requested == [("alpha-1@h", 3)]
    monkeypatch.setattr(slots, "_ON_ITS_WAY_S", 0)
    assert bench.tick() == 1


def test_the_next_coordinator_restores_slots_after_a_cancellation(bench: Bench, requested: Any) -> None:
    comparison, after = planned(("alpha",), slots=5), planned(("alpha",))
    bench.tick()
    bench.tick()
    stop(comparison)
    assert bench.workers["alpha-1@h"].slots == 5
    assert bench.tick() == 0
    assert bench.workers["alpha-1@h"].slots == 2
    assert bench.tick() == 1
    assert after.batches.get().slots == 2


def test_a_worker_that_left_needs_no_restored_slots(bench: Bench, requested: Any) -> None:
    comparison = planned(("alpha",), slots=5)
    bench.tick()
    stop(comparison)
    bench.remove("alpha-1@h")
    bench.tick()
    comparison.refresh_from_db()
    assert comparison.changed_slots is None


def test_a_worker_that_keeps_its_slots_ends_the_comparison(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slots, "_ask", lambda worker, more: None)
    monkeypatch.setattr(slots, "_ON_ITS_WAY_S", 0.0)
    comparison = planned(("alpha",), slots=5)
    bench.run_on(comparison)
    assert comparison.state == Comparison.State.CANCELLED
    assert "still has 2 slots after 8 requests for 5" in comparison.end_reason
    assert not Job.objects.exists()


def test_fewer_slots_than_workers_cannot_be_set(bench: Bench, requested: Any) -> None:
    bench.add("alpha-2@h", "alpha")
    comparison = planned(("alpha",), slots=1)
    bench.run_on(comparison)
    assert comparison.state == Comparison.State.CANCELLED
    assert "alpha has 2 workers" in comparison.end_reason
    assert requested == []
