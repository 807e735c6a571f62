"""Memory limits where a job has a process of its own, and what the workers say that they can do."""

from collections.abc import Callable

import pytest

from jobs import guarantees
from jobs.heartbeats import pools_up
from jobs.models import State
from jobs.submission import submit
from tests.pace import limit_s
from tests.platform import Platform
from tests.stuck.conftest import POOLS

pytestmark = [pytest.mark.services, pytest.mark.django_db(transaction=True)]


def test_a_job_that_takes_too_much_memory_is_ended_in_prefork_and_a_modest_one_is_not(
    stuck: Platform,
) -> None:
    [greedy] = submit("stuck.hoards", {}, pool="stuck_prefork")
    [modest] = submit("stuck.hoards", {"mebibytes": 30}, pool="stuck_prefork")
    stuck.wait_for(greedy, modest, timeout_s=40)
    assert (greedy.state, greedy.error_type) == (State.FAILED, "MemoryLimitExceeded")
    assert "its limit is 64 MiB" in greedy.error
    assert greedy.run_s < limit_s(10)
    assert (modest.state, modest.attempt) == (State.SUCCEEDED, 1)


def test_every_worker_tells_what_it_has_tried(stuck: Platform, eventually: Callable) -> None:
    eventually(lambda: all(w.guarantees for name in POOLS for w in pools_up()[name]), timeout_s=60)
    found = guarantees.by_pool()
    rows = {row.label: row.cells for row in guarantees.matrix(POOLS, found)}
    prefork, threads, gevent, asyncio = range(4)
    assert rows["Memory limit"] == ("holds", "not here", "not here", "not here")
    assert "unknown" not in {word for cells in rows.values() for word in cells}
    assert rows["Time limit, while it is inside one call of C"][prefork] == "holds"
    assert rows["Time limit, while it is inside one call of C"][1:] == ("by ending the worker",) * 3
    computing = rows["Cancel, while it computes"]
    assert computing[prefork] == "holds"
    assert computing[gevent] == "when it yields"
    assert computing[threads] == computing[asyncio] == "holds (coroutine: when it yields)"
    waiting = rows["Soft time limit, while it waits"]
    assert waiting[prefork] == waiting[gevent] == "holds"
    assert waiting[threads] == waiting[asyncio] == "when it yields (coroutine: holds)"
