"""The newest answers and misplaced definitions of the dashboard."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from poolwise.lab import latest
from poolwise.models import Comparison
from tests.helpers.report_sample import answer, report, standing

pytestmark = pytest.mark.django_db


def compared(*standings: Any, ago_s: int = 0, fields: Any = None, **changes: Any) -> Comparison:
    """Store a comparison whose answer recommends gevent, with these standings."""
    given = answer(standings=list(standings), **changes)
    stored = report(answer=given).model_dump(mode="json")
    at = timezone.now() - timedelta(seconds=ago_s)
    return Comparison.objects.create(
        **({"definition": "io.wait", "copies": 50, "report": stored, "created_at": at} | (fields or {}))
    )


BEST = standing("gevent", "best", 1.0)
OUT = standing("prefork", "out", 4.0, 3.8, 4.2)
EQUAL = standing("prefork", "candidate", 1.01, 0.98, 1.04)


def test_the_newest_answers_come_first_without_running_comparisons() -> None:
    old, new = compared(ago_s=60, state="open"), compared(fields={"imported_at": timezone.now()})
    Comparison.objects.create(definition="io.wait", copies=1)
    newest = latest.newest_answers(5)
    assert [recent.comparison for recent in newest] == [new.pk, old.pk]
    assert [recent.is_imported for recent in newest] == [True, False]
    assert [recent.answer.state for recent in newest] == ["settled", "open"]
    assert newest[0].answer.text.startswith("Run io.wait on gevent (50 slots).")
    assert [recent.comparison for recent in latest.newest_answers(1)] == [new.pk]


def test_a_comparison_without_an_answer_is_among_the_newest_with_its_reason() -> None:
    compared(state="none", text="No answer: 12 other jobs ran.", pool="")
    [recent] = latest.newest_answers(5)
    assert (recent.answer.state, recent.answer.text) == ("none", "No answer: 12 other jobs ran.")


def test_a_definition_on_a_slower_pool_is_named_with_the_better_one() -> None:
    comparison = compared(BEST, OUT)
    [use] = latest.misplaced({"io.wait": {"prefork": 7, "gevent": 3}})
    assert (use.pool, use.better, use.jobs, use.comparison) == ("prefork", "gevent", 7, comparison.pk)
    assert use.ratio == pytest.approx(4.0)


def test_the_ratio_is_to_the_recommended_pool_even_if_another_is_the_fastest() -> None:
    fastest, recommended = standing("asyncio", "best", 1.0), standing("gevent", "candidate", 1.04, 0.9, 1.2)
    compared(fastest, recommended, OUT)
    [use] = latest.misplaced({"io.wait": {"prefork": 7, "asyncio": 3}})
    assert (use.pool, use.better, use.ratio) == ("prefork", "gevent", pytest.approx(4.0 / 1.04))


@pytest.mark.parametrize("state", ["settled", "open"])
@pytest.mark.parametrize("here", [EQUAL, standing("prefork", "not measured", reason="Its jobs fail.")])
def test_a_pool_that_is_not_out_is_not_misplaced(state: str, here: Any) -> None:
    compared(BEST, here, state=state)
    assert latest.misplaced({"io.wait": {"prefork": 7, "threads": 2}}) == []


def test_only_the_newest_answer_of_this_machine_counts() -> None:
    compared(BEST, OUT, ago_s=90)
    compared(BEST, EQUAL, ago_s=60)
    compared(ago_s=30, state="none", text="No answer.", pool="")
    compared(BEST, OUT, fields={"imported_at": timezone.now()})
    compared(BEST, OUT, fields={"vary": {"duration_s": [1, 2]}})
    assert latest.misplaced({"io.wait": {"prefork": 7}}) == []
