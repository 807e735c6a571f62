"""How many jobs of a worker have database connections at a time."""

import logging
import threading
import time
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from poolwise.pools import database_places
from poolwise.pools.database_places import Places
from poolwise.pools.interrupts import RevokedStop
from poolwise.pools.request import PoolRequest, RequestState
from tests.helpers.pace import eventually, limit_s


def job(number: int) -> PoolRequest:
    pool: Any = None
    running = PoolRequest(pool, number, int)
    running.state = RequestState.RUNNING
    return running


def has_begun(order: list[int], number: int) -> bool:
    return order[-1:] == [number]


def take_in_thread(places: Places, waiting: PoolRequest, order: list[int]) -> threading.Thread:
    def take() -> None:
        places.take(waiting)
        order.append(waiting.number)

    before = len(places._waiting)
    thread = threading.Thread(target=take, daemon=True)
    thread.start()
    eventually(lambda: len(places._waiting) > before)
    return thread


def test_jobs_wait_for_a_place_in_the_order_in_which_they_came() -> None:
    places, first, others = Places(1), job(1), [job(2), job(3)]
    order: list[int] = []
    places.take(first)
    threads = [take_in_thread(places, other, order) for other in others]
    time.sleep(3 * database_places._POLL_S)
    assert order == []
    for ended in (first, others[0]):
        ended.give_back_place()
        eventually(partial(has_begun, order, ended.number + 1))
    for thread in threads:
        thread.join(limit_s(5))
    assert order == [2, 3]


def test_a_job_with_a_place_does_not_wait_for_its_further_connections() -> None:
    places, holder = Places(1), job(1)
    places.take(holder)
    places.take(holder)
    holder.give_back_place()
    places.take(job(2))


def test_a_job_that_waits_logs_it_once_and_frees_its_turn_if_it_is_stopped(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(database_places, "_SAY_AFTER_S", 0.0)
    monkeypatch.setattr(database_places, "_POLL_S", 0.01)
    naps = iter([None, None, RevokedStop()])

    def nap(_: float) -> None:
        if (stop := next(naps)) is not None:
            raise stop
        sleep(0.01)

    sleep = time.sleep
    monkeypatch.setattr(database_places, "time", SimpleNamespace(sleep=nap, monotonic=time.monotonic))
    places, first = Places(1), job(1)
    places.take(first)
    with caplog.at_level(logging.INFO, "poolwise"), pytest.raises(RevokedStop):
        places.take(job(2))
    assert [record.getMessage() for record in caplog.records] == [
        "waiting for a database connection: 1 jobs of this worker have some, see JOB_DATABASE_CONNECTIONS"
    ]
    first.give_back_place()
    places.take(job(3))


def test_what_an_ended_job_left_behind_takes_no_place() -> None:
    places, ended = Places(1), job(1)
    ended.state = RequestState.ENDED
    places.take(ended)
    places.take(job(2))
