"""The newest verdicts and misplaced definitions of the dashboard."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from poolwise.lab import latest
from poolwise.models import Comparison
from tests.helpers.report_sample import ADVICE, report, validity, verdict

pytestmark = pytest.mark.django_db


def pair(base: str, other: str, outcome: str, ratio: float) -> dict[str, Any]:
    return {"base": base, "other": other, **verdict(outcome, ratio, ratio * 0.9, ratio * 1.1)}


def compared(*, ago_s: int = 0, pairs: Any = (), advised: str = "gevent", **fields: Any) -> Comparison:
    stored = report(pairs=list(pairs), advice={**ADVICE, "pool": advised}, **fields.pop("report", {}))
    stored = stored.model_dump(mode="json")
    at = timezone.now() - timedelta(seconds=ago_s)
    return Comparison.objects.create(
        **({"definition": "io.wait", "copies": 50, "report": stored, "created_at": at} | fields)
    )


def test_the_newest_verdicts_come_first_without_running_comparisons() -> None:
    old, new = compared(ago_s=60), compared()
    Comparison.objects.create(definition="io.wait", copies=1)
    newest = latest.newest_verdicts(5)
    assert [recent.comparison for recent in newest] == [new.pk, old.pk]
    assert (newest[0].outcome, newest[0].reason) == ("faster", "")
    assert newest[0].sentence.startswith("gevent ran this job 16.8× faster")


def test_a_withheld_verdict_comes_with_its_reason() -> None:
    outcomes = {"gevent": verdict("cannot tell", 3.0, 1.0, 9.0)}
    compared(report={"verdicts": outcomes, "validity": validity(alone="12 other jobs ran")})
    [recent] = latest.newest_verdicts(5)
    assert (recent.outcome, recent.reason) == ("cannot tell", "12 other jobs ran")


def test_a_definition_on_a_slower_pool_is_named_with_the_better_one() -> None:
    comparison = compared(pairs=[pair("gevent", "prefork", "slower", 0.25)])
    [use] = latest.misplaced({"io.wait": {"prefork": 7, "gevent": 3}})
    assert (use.pool, use.better, use.jobs, use.comparison) == (
        "prefork",
        "gevent",
        7,
        comparison.pk,
    )
    assert use.ratio == pytest.approx(4.0)


@pytest.mark.parametrize("outcome", ["no difference detected", "cannot tell"])
def test_a_report_without_a_difference_calls_no_pool_slower(outcome: str) -> None:
    compared(pairs=[pair("prefork", "gevent", outcome, 1.01)])
    assert latest.misplaced({"io.wait": {"prefork": 7}}) == []


def test_only_the_newest_valid_report_of_this_machine_counts() -> None:
    against = [pair("prefork", "gevent", "faster", 4.0)]
    compared(ago_s=90, pairs=against)
    compared(ago_s=60, pairs=[pair("prefork", "gevent", "no difference detected", 1.0)])
    compared(ago_s=30, pairs=against, report={"validity": validity(code="two versions")})
    compared(pairs=against, imported_at=timezone.now())
    assert latest.misplaced({"io.wait": {"prefork": 7}}) == []
