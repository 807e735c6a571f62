"""The benchmark of answers: its cases are well formed, and answers are judged as its README says."""

import os
import subprocess
import sys
from typing import Any

import pytest

from benchmarks.answers.cases import CASES, EXTRA, SLOTS, Case
from benchmarks.answers.judging import Run, passes, shares
from tests import ROOT

#: In a process of its own: the definitions of the benchmark are no jobs of the site.
_VALIDATE = """
import django
django.setup()
from poolwise import definitions
from benchmarks.answers.cases import CASES, EXTRA
for case in (*CASES, *EXTRA):
    definitions.get(case.definition).validate(case.params)
    print(case.definition)
"""
ONE_BEST = Case("one", "answers.tiny", {}, frozenset({"threads"}), "")
EQUAL = Case("equal", "answers.tiny", {}, frozenset({"prefork", "threads", "asyncio"}), "")


def run(case: Case, state: str, *left: str, measured_s: float = 20.0) -> Run:
    """Return a run whose answer leaves pools and names the first of them."""
    standings = [{"name": name, "role": "candidate" if name in left else "out"} for name in SLOTS]
    pool = left[0] if left else ""
    answer: dict[str, Any] = {"state": state, "pool": pool, "text": "Run it.", "standings": standings}
    return Run(case, answer, measured_s)


def test_every_case_names_known_pools_and_a_reason() -> None:
    assert len({case.name for case in (*CASES, *EXTRA)}) == len(CASES) + len(EXTRA)
    assert len({case.definition for case in CASES}) == 12
    for case in (*CASES, *EXTRA):
        assert case.best, case.name
        assert case.best <= SLOTS.keys(), case.name
        assert case.reason, case.name


@pytest.mark.slow
def test_every_case_has_a_definition_and_valid_parameters() -> None:
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "benchmarks.answers.settings"}
    command = [sys.executable, "-c", _VALIDATE]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert (done.stdout.split(), done.stderr) == ([case.definition for case in (*CASES, *EXTRA)], "")


@pytest.mark.parametrize(
    ("answered", "judgement"),
    [
        (run(ONE_BEST, "settled", "threads"), "right"),
        (run(ONE_BEST, "settled", "gevent"), "wrong"),
        (run(ONE_BEST, "settled", "gevent", "threads"), "wrong"),
        (run(ONE_BEST, "open", "gevent", "threads"), "right"),
        (run(ONE_BEST, "open", "gevent", "threads", "asyncio"), "undecided"),
        (run(ONE_BEST, "open", "gevent", "asyncio"), "wrong"),
        (run(ONE_BEST, "none"), "undecided"),
        (run(EQUAL, "open", "prefork", "threads", "asyncio"), "right"),
        (run(EQUAL, "open", "prefork", "threads", "asyncio", "gevent"), "undecided"),
    ],
)
def test_an_answer_is_judged_by_the_pools_that_it_leaves(answered: Run, judgement: str) -> None:
    assert answered.judgement == judgement


def test_an_answer_must_say_the_words_of_its_case() -> None:
    silent = Case("tiny", "answers.tiny", {}, frozenset(SLOTS), "", says="put many into one job")
    assert run(silent, "settled", "threads").judgement == "wrong"


def test_late_and_wrong_answers_count_against_the_shares() -> None:
    right, late = run(ONE_BEST, "settled", "threads"), run(ONE_BEST, "settled", "threads", measured_s=31.0)
    undecided, wrong = run(ONE_BEST, "none"), run(ONE_BEST, "settled", "gevent")
    assert shares([right, late, undecided, wrong]) == {"in time": 0.5, "right": 0.5, "wrong": 0.25}
    assert passes([right] * 19 + [wrong], busy=False)
    assert not passes([right] * 18 + [late] * 2, busy=False)
    assert not passes([right] * 18 + [undecided] * 2, busy=False)
    assert passes([right] * 18 + [undecided] * 2, busy=True)
    assert not passes([right] * 18 + [wrong] * 2, busy=True)
