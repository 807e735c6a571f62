"""The cursors of the API's lists: sent as they are printed, and refused where they are none."""

from typing import Any

import pytest
from django.test import Client

from poolwise.control import tokens
from poolwise.models import Comparison, Job

pytestmark = [pytest.mark.django_db, pytest.mark.slow]
LISTS = ("jobs", "comparisons")


@pytest.fixture
def get(user: Any) -> Any:
    """Get an address as it stands, as a program does that puts it together by hand."""
    headers = {"Authorization": f"Bearer {tokens.create(user, 'test')[1]}"}
    return lambda address: Client().get(address, headers=headers)


@pytest.fixture
def many(user: Any) -> None:
    """Three pages of each list."""
    Job.objects.bulk_create(
        [Job(definition="io.wait", kind="io", pool="gevent", user=user) for _ in range(120)]
    )
    Comparison.objects.bulk_create(
        [Comparison(definition="io.wait", copies=1, user=user, seed=1) for _ in range(120)]
    )


@pytest.mark.parametrize("what", LISTS)
def test_cursors_are_followed_to_the_end_as_they_are_printed(get: Any, many: None, what: str) -> None:
    address, pages = f"/api/{what}", []
    while address and len(pages) < 4:
        page = get(address).json()
        pages.append({row["id"] for row in page[what]})
        address = page["older"] and f"/api/{what}?before={page['older']}"
    assert [len(ids) for ids in pages] == [50, 50, 20]
    assert len(set.union(*pages)) == 120


@pytest.mark.parametrize("what", LISTS)
def test_a_cursor_of_newer_rows_is_sent_as_it_is_printed_too(get: Any, many: None, what: str) -> None:
    first = get(f"/api/{what}").json()
    second = get(f"/api/{what}?before={first['older']}").json()
    assert get(f"/api/{what}?after={second['newer']}").json()[what] == first[what]


@pytest.mark.parametrize("what", LISTS)
@pytest.mark.parametrize("name", ["before", "after"])
@pytest.mark.parametrize(
    "cursor",
    [
        "x",
        "_",
        "9" * 300,
        "%00",
        "2026-01-01T00:00:00Z",
        "2026-01-01T00:00:00Z_zz",
        "2026-01-01T00:00:00_" + "0" * 32,
        "2026-01-01T00:00:00+00:00_" + "0" * 32,  # its plus sign arrives as a space
        "0001-01-01T00:00:00%2B14:00_" + "0" * 32,
        "9999-12-31T23:59:59-14:00_" + "0" * 32,
    ],
)
def test_a_cursor_that_is_none_is_refused_by_its_name(get: Any, what: str, name: str, cursor: str) -> None:
    response = get(f"/api/{what}?{name}={cursor}")
    assert response.status_code == 422, response.content
    assert list(response.json()["fields"]) == [name]


@pytest.mark.parametrize("what", LISTS)
@pytest.mark.parametrize(
    "stamp", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2026-01-01T00:00:00%2B00:00"]
)
def test_a_cursor_of_any_moment_that_there_is_can_be_asked_for(get: Any, what: str, stamp: str) -> None:
    for name in ("before", "after"):
        assert get(f"/api/{what}?{name}={stamp}_{'f' * 32}").status_code == 200
