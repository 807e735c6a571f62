"""Reports are built in a thread beside the coordinator's loop."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import OperationalError

from poolwise.lab.report import ReportBuilder, background
from poolwise.lab.run import advance
from poolwise.models import Comparison
from tests.helpers.comparison_rows import compared

pytestmark = pytest.mark.django_db(transaction=True)
ROUNDS = {"threads": [1.0, 1.01, 0.99, 1.02, 1.0], "gevent": [0.1, 0.101, 0.099, 0.102, 0.1]}


@pytest.fixture
def comparison() -> Comparison:
    """A comparison whose last batch has ended and whose report is not built."""
    comparison = compared(ROUNDS)
    Comparison.objects.update(state=Comparison.State.RUNNING, finished_at=None)
    comparison.refresh_from_db()
    return comparison


def test_the_loop_goes_on_while_a_report_is_built(
    comparison: Comparison, monkeypatch: pytest.MonkeyPatch, own_keys: Any, eventually: Callable[..., Any]
) -> None:
    begun, may_end, freeze = threading.Event(), threading.Event(), background.freeze

    def slowly(ended: Comparison) -> None:
        begun.set()
        may_end.wait(20)
        freeze(ended)

    monkeypatch.setattr(background, "freeze", slowly)
    own = ReportBuilder()
    for _ in range(3):
        assert advance(own) == 0, "each step returns at once"
    assert begun.wait(20)
    comparison.refresh_from_db()
    assert comparison.state == Comparison.State.RUNNING, "it has not ended before its report is there"
    may_end.set()
    own.stop()
    advance(own)
    comparison.refresh_from_db()
    assert comparison.state == Comparison.State.FINISHED
    assert [pool["name"] for pool in comparison.report["pools"]] == ["threads", "gevent"]


def test_a_report_waits_for_an_unavailable_database(
    comparison: Comparison, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults: list[Exception] = [OperationalError("database is locked")]

    def once(ended: Comparison) -> None:
        if faults:
            raise faults.pop()

    monkeypatch.setattr(background, "freeze", once)
    own = ReportBuilder()
    answers = []
    for _ in range(3):
        answers.append(own(comparison))
        own.stop()
    assert answers == [False, False, True], "it begins, begins again, and has ended"


def test_a_report_that_cannot_be_built_does_not_block_the_others(
    comparison: Comparison, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(ended: Comparison) -> None:
        raise ValueError("no such figure")

    monkeypatch.setattr(background, "freeze", wrong)
    own = ReportBuilder()
    assert own(comparison) is False
    own.stop()
    assert own(comparison) is True
    assert own(comparison) is False, "asked again it builds again"
    own.stop()
