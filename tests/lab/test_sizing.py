"""The waves of a pilot, and the size of a batch by what its last wave showed."""

from datetime import datetime, timedelta
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poolwise.lab.plan import balanced_orders
from poolwise.lab.sizing import PILOT_S, Pilot, batch_s, mean_at_once, next_wave, overlapped
from tests.helpers.report_sample import NOON


def waves(slots: int, wave_s: float) -> list[int]:
    sizes: list[int] = []
    while size := next_wave(sum(sizes), slots, len(sizes) * wave_s):
        sizes.append(size)
    return sizes


@pytest.mark.parametrize(
    ("slots", "wave_s", "expected"),
    [
        (200, 0.1, [1, 3, 12, 48, 192, 200]),
        (2, 0.05, [1, 3, 4]),
        (200, 0.5, [1, 3]),  # a computing job: two waves are enough
        (2, 5.0, [1]),
    ],
)
def test_waves_grow_until_the_slots_are_full_or_the_time_is_up(
    slots: int, wave_s: float, expected: list[int]
) -> None:
    assert waves(slots, wave_s) == expected


@given(st.integers(1, 10_000), st.floats(0, 2 * PILOT_S))
def test_a_pilot_ends(slots: int, wave_s: float) -> None:
    assert sum(waves(slots, wave_s)) <= 4 * max(slots, 4)


def run(start_s: float, end_s: float, *, cpu_s: float = 0.0, gil_wait_s: float = 0.0) -> Any:
    published: datetime = NOON + timedelta(seconds=start_s)
    return SimpleNamespace(
        published_at=published, first_published_at=published, finished_at=NOON + timedelta(seconds=end_s),
        run_s=end_s - start_s, cpu_s=cpu_s, run_queue_s=0.0, gil_wait_s=gil_wait_s,
    )  # fmt: skip


def test_jobs_whose_time_was_split_tell_whether_it_computes() -> None:
    beside_others = run(1, 2, cpu_s=0.2)
    beside_others.run_queue_s = beside_others.gil_wait_s = None
    pilot = Pilot.of([run(0, 1, cpu_s=0.9), beside_others, beside_others])
    assert pilot is not None
    assert (pilot.computing_share, pilot.cpu_s) == (0.9, 0.2)


def test_the_last_wave_counts() -> None:
    first, last = run(0, 1), [run(1.1, 1.6), run(1.12, 1.7)]
    assert Pilot.of([first, *last]) == Pilot(
        jobs=2, took_s=pytest.approx(0.6), computing_share=0.0, at_once=pytest.approx(1.08 / 0.6)
    )
    assert Pilot.of([]) is None


def test_jobs_that_block_each_other_do_not_overlap() -> None:
    pilot = Pilot.of([run(0, 0.3), run(0.4, 0.7), run(0.4, 1.0), run(0.4, 1.3)])
    assert pilot is not None
    assert overlapped(pilot.at_once)
    assert not overlapped(mean_at_once([run(0, 0.3), run(0.3, 0.6), run(0.6, 0.9)], 0.9))
    assert overlapped(mean_at_once([run(0, 0.3)], 0.3))


def test_waiting_for_the_gil_counts_as_computing() -> None:
    pilot = Pilot.of([run(0, 1, cpu_s=0.1, gil_wait_s=0.8)])
    assert pilot is not None
    assert pilot.computing_share == pytest.approx(0.9)


@pytest.mark.parametrize(
    ("pilot", "slots", "target_s", "expected"),
    [
        (Pilot(200, 0.5, 0.01), 200, 1.0, 400),  # twice the slots
        (Pilot(4, 0.2, 0.01), 2, 1.0, 20),
        (Pilot(1, 5.0, 0.01), 200, 0.8, 200),  # fewer jobs that wait take as long
        (Pilot(1, 5.0, 0.01), 2, 0.8, 2),
        (Pilot(3, 0.6, 1.0), 200, 0.8, 4),  # computing: full slots add nothing
        (Pilot(4, 0.2, 1.0), 2, 0.8, 16),
        (Pilot(3, 0.1, 1.0), 2, 0.1, 4),  # a whole number of waves
        (Pilot(1, 30.0, 1.0), 1, 0.8, 1),
        (Pilot(400, 0.1, 0.01), 200, 5.0, 1_000),  # no more than a batch may have
        (Pilot(3, 0.6, 0.4, cpu_s=0.16), 200, 0.8, 5),  # it waits, but its computing fills the core first
        (Pilot(48, 0.6, 0.1, cpu_s=0.01, at_once=20.0), 200, 0.85, 200),
        (
            Pilot(3, 1.2, 0.1, cpu_s=0.015, at_once=2.5),
            200,
            0.85,
            200,
        ),  # it waits for as long as filling takes
        (Pilot(48, 0.6, 0.1, cpu_s=0.02, at_once=20.0), 200, 0.85, 68),  # more slots than one core can serve
        (Pilot(3, 0.2, 0.2, cpu_s=0.005), 200, 1.0, 200),
        (Pilot(3, 0.9, 0.01, at_once=1.0), 200, 0.8, 4),  # its jobs block each other
    ],
)
def test_a_batch_fills_the_slots_and_takes_about_its_time(
    pilot: Pilot, slots: int, target_s: float, expected: int
) -> None:
    assert pilot.copies(slots, target_s, 1_000) == expected


def test_the_time_of_a_batch_divides_the_budget() -> None:
    assert batch_s(30.0, 4, 6) == pytest.approx(0.85)
    assert batch_s(30.0, 12, 6) == 0.5
    assert batch_s(600.0, 2, 20) == 5.0


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5, 6])
def test_orders_are_balanced(number: int) -> None:
    names = list(range(number))
    orders = balanced_orders(names, seed=3)
    assert all(sorted(order) == names for order in orders)
    for place in range(number):
        at_place = [order[place] for order in orders]
        assert {at_place.count(name) for name in names} == {len(orders) // number}
    pairs = [pair for order in orders for pair in pairwise(order)]
    assert len({pairs.count(pair) for pair in {*pairs}}) <= 1
    assert len({*pairs}) == number * (number - 1)
    assert balanced_orders(names, seed=3) == orders
