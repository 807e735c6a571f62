"""Before and after: two comparisons of the same job, by the statistics of a check."""

import re
from typing import Any

import pytest
from django.test import Client

from poolwise.lab import report
from poolwise.models import Batch, Comparison
from tests.helpers.comparison_rows import compared

pytestmark = pytest.mark.django_db
SLOW, FAST = [1.0, 1.01, 0.99, 1.02, 1.0], [0.1, 0.101, 0.099, 0.102, 0.1]


@pytest.fixture(autouse=True)
def _pools(settings: Any) -> None:
    settings.JOB_POOLS = {
        name: {"model": name, "queue": name, "concurrency": 4} for name in ("prefork", "gevent")
    }


def stored(user: Any, spans: list[float], **fields: Any) -> Comparison:
    comparison = compared({"prefork": SLOW, "gevent": spans}, user=user, **fields)
    batches = list(comparison.batches.all())
    for batch in batches:
        batch.probe["yardstick_s"] = 0.005
    Batch.objects.bulk_update(batches, ["probe"])
    report.freeze(comparison)
    return comparison


def page_of(client: Client, before: Comparison, after: Comparison) -> str:
    return client.get(f"/comparisons/{before.pk}/?with={after.pk}").content.decode()


def outcomes(page: str) -> list[tuple[str, str]]:
    return re.findall(r'class="outcome ([\w-]+)">[^<]*</span> <span class="fine">([^<]*)<', page)


def test_each_pool_has_its_outcome_ratio_and_bounds(bob: Client, user: Any) -> None:
    page = page_of(bob, stored(user, FAST), stored(user, [1.3 * s for s in FAST]))
    (steady, same), (slower, longer) = outcomes(page)
    assert (steady, slower) == ("no-change", "slower")
    assert re.fullmatch(r"1\.00× as long as before \(95 % bounds 0\.9\d–1\.0\d\)", same)
    assert re.fullmatch(r"1\.30× as long as before \(95 % bounds 1\.2\d–1\.3\d\)", longer)
    assert "within the allowance of 10 %" in page
    assert 'id="chart-changes"' in page


def test_other_slots_and_copies_are_what_is_compared(bob: Client, user: Any) -> None:
    page = page_of(bob, stored(user, FAST), stored(user, FAST, slots=3, copies=6))
    assert [outcome for outcome, _ in outcomes(page)] == ["faster", "faster"]
    assert "Slots of gevent" in page


def test_another_machine_has_no_ratio_and_a_reason(bob: Client, user: Any) -> None:
    before, after = stored(user, FAST), stored(user, FAST, environment={"cores": 8})
    page = page_of(bob, before, after)
    assert outcomes(page) == [("cannot-tell", "different machine: cores was 2, is now 8")] * 2
    assert 'id="chart-changes"' not in page
