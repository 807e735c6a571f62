"""What the coordinator notes of the pools' configuration: each change once, and none that a comparison makes."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from poolwise.coordinator import pool_history
from poolwise.lifecycle.heartbeats import Heartbeat, WorkerHeartbeat
from poolwise.models import Comparison, PoolConfiguration

pytestmark = pytest.mark.django_db
NOW = timezone.now()


def worker(pool: str = "gevent", *, slots: int = 100, name: str = "g1", **versions: str) -> WorkerHeartbeat:
    return WorkerHeartbeat(
        Heartbeat(name, pool, 1, "here", slots=slots, versions={"celery": "5.7.0", **versions}), 0.1
    )


def test_a_configuration_is_noted_once_and_again_when_it_changes() -> None:
    assert pool_history.note([worker()], NOW) == 1
    assert pool_history.note([worker()], NOW) == 0
    assert pool_history.note([worker(slots=200)], NOW) == 1
    assert pool_history.note([worker(slots=200, code="b2")], NOW) == 1
    rows = PoolConfiguration.objects.order_by("pk").values_list("details", flat=True)
    assert [row["slots"] for row in rows] == [100, 200, 200]


def test_a_pool_without_workers_changes_nothing() -> None:
    pool_history.note([worker()], NOW)
    assert pool_history.note([], NOW) == 0
    assert pool_history.note([worker()], NOW) == 0


def test_the_slots_of_all_workers_count_and_releases_side_by_side_are_both_named() -> None:
    pool_history.note([worker(code="a1"), worker(name="g2", code="b2")], NOW)
    details = PoolConfiguration.objects.get().details
    assert (details["slots"], details["code"], details["model"]) == (200, "a1, b2", "gevent")


@pytest.mark.parametrize(
    "fields",
    [{"state": "running"}, {"state": "finished", "changed_slots": {"g1": 100}}],
    ids=["runs", "cleans up"],
)
def test_the_slots_that_a_comparison_sets_are_not_noted(fields: dict[str, Any]) -> None:
    comparison = Comparison.objects.create(definition="io.wait", copies=1, **fields)
    assert pool_history.note([worker(slots=4)], NOW) == 0
    comparison.delete()
    assert pool_history.note([worker(slots=4)], NOW) == 1


def test_pruning_keeps_what_each_pool_runs_with_still() -> None:
    for days, slots in ((30, 1), (20, 2)):
        PoolConfiguration.objects.create(
            pool="gevent", at=NOW - timedelta(days=days), details={"slots": slots}
        )
    PoolConfiguration.objects.create(pool="threads", at=NOW - timedelta(days=40), details={"slots": 3})
    pool_history.prune(NOW - timedelta(days=8))
    kept = PoolConfiguration.objects.order_by("pool").values_list("pool", "details__slots")
    assert list(kept) == [("gevent", 2), ("threads", 3)]
