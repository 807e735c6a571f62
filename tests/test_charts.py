"""The chart of the dashboard, and the script that draws it."""

import gzip
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import vl_convert
from django.test import Client
from django.urls import reverse

from jobs import vega
from jobs.charts import COLOURS, backlog_and_service_time
from jobs.reports import WINDOWS, Dashboard, Point, PoolFigures
from jobs.statistics import summary

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
NAMES = ("prefork", "gevent")


def dashboard(*runs_s: float | None, window: str = "1h") -> Dashboard:
    pools = tuple(PoolFigures(name, name, 0, 0, 0, summary([]), summary([])) for name in NAMES)
    points = tuple(
        Point(NOON + timedelta(minutes=minute), name, 3.0, 5, run_s)
        for minute, run_s in enumerate(runs_s)
        for name in NAMES
    )
    return Dashboard(WINDOWS[window], NOON, NOON + timedelta(hours=1), pools, points)


def panels(spec: dict[str, Any]) -> list[dict[str, Any]]:
    return list(spec["vconcat"])


def encoding(panel: dict[str, Any]) -> dict[str, Any]:
    return dict(panel["layer"][0]["encoding"])


def test_two_panels_share_the_time_axis() -> None:
    spec = backlog_and_service_time(dashboard(1.0, 2.0))
    assert [panel["title"] for panel in panels(spec)] == ["Backlog", "Service time"]
    assert spec["resolve"] == {"scale": {"x": "shared"}}


def test_axes_and_legend_say_what_they_show_and_in_which_unit() -> None:
    first, second = map(encoding, panels(backlog_and_service_time(dashboard(1.0))))
    assert (first["y"]["title"], second["y"]["title"]) == ("Jobs queued", "Median run, s")
    assert second["x"]["axis"]["title"] == "Time, UTC"
    assert first["color"]["title"] == "Pool"


def test_each_pool_has_a_colour_and_a_dash_of_its_own() -> None:
    found = encoding(panels(backlog_and_service_time(dashboard(1.0)))[0])
    assert found["color"]["scale"] == {"domain": list(NAMES), "range": list(COLOURS[:2])}
    assert found["strokeDash"]["scale"]["range"][0] != found["strokeDash"]["scale"]["range"][1]


@pytest.mark.parametrize(("runs_s", "kind"), [((0.01, 20.0), "log"), ((1.0, 3.0), None), ((None, 0.0), None)])
def test_durations_of_very_different_sizes_get_a_logarithmic_axis(
    runs_s: tuple[float | None, ...], kind: str | None
) -> None:
    service = encoding(panels(backlog_and_service_time(dashboard(*runs_s)))[1])
    assert service["y"]["scale"].get("type") == kind


@pytest.mark.parametrize(("window", "labels"), [("1h", "%H:%M"), ("7d", "%d %b")])
def test_the_time_axis_names_days_where_hours_would_repeat(window: str, labels: str) -> None:
    found = encoding(panels(backlog_and_service_time(dashboard(1.0, window=window)))[0])
    assert found["x"]["axis"]["format"] == labels


def test_vega_compiles_the_chart_without_points_too() -> None:
    for found in (dashboard(), dashboard(1.0, None, 2.0)):
        spec = json.loads(json.dumps(backlog_and_service_time(found)))
        assert vl_convert.vegalite_to_vega(spec)["marks"]


def script_address() -> str:
    return reverse("admin:jobs_vega", args=[vega.bundle_digest()])


def test_the_script_is_public_and_kept_by_caches(client: Client) -> None:
    response = client.get(script_address(), headers={"accept-encoding": "gzip"})
    assert response["Content-Type"].startswith("text/javascript")
    assert "immutable" in response["Cache-Control"]
    assert "Cookie" not in response["Vary"]
    assert b"vegaEmbed" in gzip.decompress(response.content)


def test_the_script_comes_plain_to_a_client_without_gzip(client: Client) -> None:
    assert b"vegaEmbed" in client.get(script_address()).content


def test_an_outdated_address_of_the_script_is_not_found(client: Client) -> None:
    assert client.get(reverse("admin:jobs_vega", args=["0123456789abcdef"])).status_code == 404
