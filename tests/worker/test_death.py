"""What is reported of a worker that has died: who ended it, by what it wrote, and what runs again."""

import faulthandler
import os
import threading

import pytest

from poolwise.lifecycle.stream import Ending, Place, Started, encode
from poolwise.support.timing import Timings, wall_now
from poolwise.worker.attempt_table import AttemptTable
from poolwise.worker.death import outcomes_of

SHARED, OWN = 0x7F01, 0x7F02
FAULT = """Fatal Python error: Segmentation fault

Thread 0x0000000000007f09 (most recent call first):
  File "/site/selectors.py", line 415 in select

Current thread 0x000000000000{thread:x} (most recent call first):
  File "/site/jobs.py", line 7 in crash
  File "/site/jobs.py", line 9 in body

Extension modules: _cffi_backend (total: 1)
"""


def attempts(*threads: int) -> AttemptTable:
    """Return a table of attempts called job-0, job-1, … that got these threads in this order."""
    table, _ = AttemptTable.create()
    for number, thread in enumerate(threads):
        place = Place("w1@h", 7, "slot-1", f"job-{number}")
        table.note(encode(Started(f"job-{number}", 2, place, Timings(started_at=wall_now() - 4)))).run_on(
            thread
        )
    return table


@pytest.mark.parametrize(("thread", "blamed"), [(SHARED, "job-2"), (OWN, "job-1")])
def test_the_last_attempt_on_the_thread_that_failed_is_blamed_and_the_others_are_given_back(
    thread: int, blamed: str
) -> None:
    outcomes = outcomes_of(FAULT.format(thread=thread), attempts(SHARED, OWN, SHARED).attempts())
    assert {o.job_id: o.ending for o in outcomes} == {
        job: Ending.LOST if job == blamed else Ending.RELEASED for job in ("job-0", "job-1", "job-2")
    }
    [lost] = [outcome for outcome in outcomes if outcome.ending is Ending.LOST]
    assert (lost.error_type, lost.error) == ("WorkerLost", "The job ended its worker: Segmentation fault.")
    assert lost.attempt == 2
    assert lost.timings.run_s == pytest.approx(4, abs=1)
    assert lost.traceback.endswith('line 7 in crash\n  File "/site/jobs.py", line 9 in body\n')
    assert "select" not in lost.traceback


@pytest.mark.parametrize("fault", ["", "Fatal Python error: Aborted\n", FAULT.format(thread=0x7F09)])
def test_nobody_is_blamed_where_it_is_unknown_who_ended_the_worker(fault: str) -> None:
    assert outcomes_of(fault, attempts(SHARED, OWN).attempts()) == []


def test_a_row_that_is_removed_gets_no_thread_and_its_successor_none_of_its_own() -> None:
    table, _ = AttemptTable.create()
    row = table.note("a")
    row.run_on(SHARED)
    row.remove()
    row.run_on(OWN)
    table.note("b")
    [successor] = table.attempts()
    assert (successor.text, successor.thread, successor.turn) == ("b", 0, 0)


def test_what_a_worker_writes_of_its_end_follows_the_table_and_names_the_thread() -> None:
    table, descriptor = AttemptTable.create()
    assert table.fault() == ""
    os.write(descriptor, b"Fatal Python error: os._exit(3)\n\n")
    faulthandler.dump_traceback(descriptor)
    place = Place("w1@h", 7, "slot-1", "job-3")
    table.note(encode(Started("job-3", 1, place, Timings()))).run_on(threading.get_ident())
    seen = AttemptTable(descriptor)
    [outcome] = outcomes_of(seen.fault(), seen.attempts())
    assert (outcome.job_id, outcome.error) == ("job-3", "The job ended its worker: os._exit(3).")
    assert "test_death.py" in outcome.traceback
    seen.close()
