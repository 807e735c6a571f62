"""The form of a comparison: the page comes back with the error at its field, and nothing is planned."""

from typing import Any

import pytest
from django.test import Client
from django.utils.html import escape

from poolwise.models import Comparison

pytestmark = pytest.mark.django_db
GOOD = {
    "param-duration_s": "0.1", "pools": ["threads", "gevent"], "preset": "own", "rounds": "2", "copies": "5", "seed": "1",
}  # fmt: skip
HUGE = "9" * 5000
#: What is posted, and what the page says.
POSTED: list[tuple[dict[str, Any], str]] = [
    *(({"rounds": value}, text) for value, text in [
        ("0", "greater than or equal to 1"), ("-1", "greater than"), ("101", "less than or equal to 100"),
        ("x", "whole number"), ("1.5", "whole number"), ("", "Give a number, or choose a preset."), (HUGE, "whole number"),
        ("2;", "whole number"), ("1_0", "whole number"), ("0x2", "whole number"),
    ]),
    *(({"copies": value}, text) for value, text in [
        ("0", "greater than or equal to 1"), ("-1", "greater than"), ("1001", "less than or equal to 1000"),
        ("x", "whole number"), ("1e2", "whole number"), ("", "Give a number, or choose a preset."), (HUGE, "whole number"),
    ]),
    *(({"pools": value}, text) for value, text in [
        ([], "Choose at least one pool."), (["nowhere"], "nowhere"), (["threads", "nowhere"], "nowhere"),
        (["auto"], "auto is not one of"), (["coordinator"], "coordinator is not one of"), (["THREADS"], "THREADS is not"),
        (["<b>"], "<b> is not one of"), (["threads,gevent"], "threads,gevent is not"),
    ]),
    *(({"baseline": value}, text) for value, text in [
        ("prefork", "Choose prefork too"), ("nowhere", "valid choice"), ("auto", "valid choice"), ("x" * 99, "valid"),
    ]),
    *(({"preset": value}, "valid choice") for value in ("huge", "QUICK", "0", "quick ;", "<i>")),
    *(({"in_flight": value}, text) for value, text in [
        ("0", "greater than or equal to 1"), ("-2", "greater than"), ("x", "whole number"), ("1.5", "whole number"),
    ]),
    *(({"arrival_rate_per_s": value}, text) for value, text in [
        ("1_0", "Enter a number."),
        ("0", "greater than or equal to 0.01"), ("-1", "greater than"), ("1001", "less than or equal to 1000"),
        ("fast", "number"), ("nan", "number"), ("inf", "number"), ("1e999", "number"), ("1,5", "number"),
    ]),
    ({"in_flight": "2", "arrival_rate_per_s": "5"}, "not both"),
    *(({"slots": value}, text) for value, text in [
        ("0", "greater than or equal to 1"), ("-1", "greater than"), ("10001", "less than or equal to 10000"),
        ("x", "whole number"), ("2.5", "whole number"),
    ]),
    ({"slots": "4", "is_sweep": "on"}, "A sweep sets the slots itself"),
    ({"slots": "9999", "pools": ["prefork", "threads"]}, "each slot of a prefork pool is a process"),
    *(({"seed": value}, text) for value, text in [
        ("-1", "greater than or equal to 0"), (str(2**31), "less than or equal to"), ("x", "whole number"), ("1.5", "whole"),
    ]),
    *(({"param-duration_s": value}, text) for value, text in [
        ("-1", "greater than or equal to 0"), ("601", "less than or equal to 600"), ("soon", "number"), ("nan", "number"),
        ("inf", "number"), ("0,1", "number"), ("1e999", "number"), ("\x00", "number"),
    ]),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("changes", "text"), POSTED, ids=lambda value: repr(value)[:50])
def test_a_design_that_does_not_fit(bob: Client, changes: dict[str, Any], text: str) -> None:
    answer = bob.post("/comparisons/new/?definition=io.wait", GOOD | changes)
    page = str(answer.content.decode())
    assert answer.status_code == 200
    assert "The comparison was not started." in page
    assert escape(text) in page
    assert not Comparison.objects.exists()


def test_the_design_that_they_are_changes_of_is_planned(bob: Client) -> None:
    assert bob.post("/comparisons/new/?definition=io.wait", GOOD).status_code == 302
    assert Comparison.objects.get().rounds == 2


@pytest.mark.parametrize(
    "query", ["definition=no.such", "definition=%00", "definition=<b>", f"definition={'x' * 500}"]
)
def test_a_definition_that_does_not_exist_is_not_found(bob: Client, query: str) -> None:
    assert bob.post(f"/comparisons/new/?{query}", GOOD).status_code == 404
    assert not Comparison.objects.exists()


@pytest.mark.parametrize("origin", ["", "x", "0" * 40, "../..", "%00"])
def test_an_origin_that_is_none_is_as_good_as_no_origin(bob: Client, origin: str) -> None:
    assert bob.get(f"/comparisons/new/?definition=io.wait&from={origin}").status_code == 200
