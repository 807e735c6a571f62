"""The charts of the dashboard, and the script that draws them in the browser."""

import gzip
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import vl_convert
from django.test import Client
from django.urls import reverse

from poolwise.charts import vega
from poolwise.charts.common import COLOURS
from poolwise.charts.dashboard import percentiles, pool_load, time_split
from poolwise.reports import WINDOWS, ConfigurationChange, Dashboard, PoolFigures, PoolPoint, TimeSplit
from poolwise.support.samples import summary
from tests.helpers.core import is_vega_lite

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
NAMES = ("prefork", "gevent")
TIME = TimeSplit(n=1, wait_s=1.0, cpu_s=0.25, off_cpu_s=0.75)
CHANGE = ConfigurationChange(NOON, "gevent", "slots 100 → 200")


def dashboard(*runs_s: float | None, window: str = "1h") -> Dashboard:
    pools = tuple(PoolFigures(name, name, 0, 0, 0, summary([]), summary([]), TIME) for name in NAMES)
    points = tuple(
        PoolPoint(NOON + timedelta(minutes=minute), name, 3.0, 5, run_s, run_s, run_s, run_s, 60.0)
        for minute, run_s in enumerate(runs_s)
        for name in NAMES
    )
    return Dashboard(WINDOWS[window], NOON, NOON + timedelta(hours=1), pools, points, (CHANGE,))


def panels(spec: dict[str, Any]) -> list[dict[str, Any]]:
    return list(spec["vconcat"])


def encoding(panel: dict[str, Any]) -> dict[str, Any]:
    return dict(panel["layer"][0]["encoding"])


@pytest.mark.parametrize("draw", [pool_load, percentiles, time_split])
@pytest.mark.parametrize("runs_s", [(), (1.0, 2.0), (0.001, None, 100.0)])
@pytest.mark.parametrize("window", ["1h", "7d"])
def test_every_chart_is_valid_vega_lite(draw: Any, runs_s: Any, window: str) -> None:
    assert is_vega_lite(draw(dashboard(*runs_s, window=window)))


def test_the_panels_share_the_time_axis() -> None:
    spec = pool_load(dashboard(1.0, 2.0))
    assert [panel["title"] for panel in panels(spec)] == ["Backlog", "Service time", "Throughput"]
    assert spec["resolve"] == {"scale": {"x": "shared"}}


def test_axes_and_legend_have_titles_and_units() -> None:
    first, second, third = map(encoding, panels(pool_load(dashboard(1.0))))
    assert [panel["y"]["title"] for panel in (first, second, third)] == [
        "Jobs queued",
        "Median run",
        "Jobs per minute",
    ]
    assert "' ms'" in second["y"]["axis"]["labelExpr"]
    assert third["x"]["axis"]["title"] == "Time, UTC"
    assert first["color"]["title"] == "Pool"


def test_each_pool_has_a_colour_and_a_dash_of_its_own() -> None:
    channels = encoding(panels(pool_load(dashboard(1.0)))[0])
    assert channels["color"]["scale"] == {"domain": list(NAMES), "range": list(COLOURS[:2])}
    first, second = channels["strokeDash"]["scale"]["range"]
    assert first != second


@pytest.mark.parametrize(("runs_s", "kind"), [((0.01, 20.0), "log"), ((1.0, 3.0), None), ((None, 0.0), None)])
def test_durations_of_very_different_sizes_get_a_logarithmic_axis(
    runs_s: tuple[float | None, ...], kind: str | None
) -> None:
    service = encoding(panels(pool_load(dashboard(*runs_s)))[1])
    assert service["y"]["scale"].get("type") == kind


@pytest.mark.parametrize(("window", "labels"), [("1h", "%H:%M"), ("7d", "%d %b")])
def test_the_time_axis_names_days_where_hours_would_repeat(window: str, labels: str) -> None:
    channels = encoding(panels(pool_load(dashboard(1.0, window=window)))[0])
    assert channels["x"]["axis"]["format"] == labels


@pytest.mark.parametrize(("count", "top"), [(0.0, 1.0), (None, 1.0), (3.5, 3.5)])
def test_counts_start_at_the_bottom_of_their_panel(count: float | None, top: float) -> None:
    figures = dashboard(1.0)
    points = tuple(replace(point, queued=count, per_minute=count) for point in figures.points)
    backlog, _, throughput = panels(pool_load(replace(figures, points=points)))
    assert [encoding(panel)["y"]["scale"]["domain"] for panel in (backlog, throughput)] == [
        [0, top],
        [0, top],
    ]


def test_each_pool_that_ran_has_its_wait_beside_its_run() -> None:
    spec = percentiles(dashboard(1.0, 2.0))
    titles = [panel["title"] for panel in spec["concat"]]
    assert titles == ["prefork: wait", "prefork: run", "gevent: wait", "gevent: run"]
    axes = [panel["encoding"]["x"]["axis"] for panel in spec["concat"]]
    assert [axis["title"] for axis in axes] == [None, None, "Time, UTC", "Time, UTC"]


def test_a_change_is_marked_on_its_own_pool_alone() -> None:
    marked = [
        panel["title"]
        for panel in percentiles(dashboard(1.0))["concat"]
        if any(row.get("text") == "slots 100 → 200" for row in panel["data"]["values"])
    ]
    assert marked == ["gevent: wait", "gevent: run"]


def test_the_marks_of_changes_show_their_text() -> None:
    rule, flag, *_ = percentiles(dashboard(1.0))["concat"][0]["layer"]
    for mark in (rule, flag):
        assert {"filter": "isValid(datum.text)"} in mark["transform"]
        assert "text" in [tip["field"] for tip in mark["encoding"]["tooltip"]]


def test_the_layers_of_a_panel_take_its_data() -> None:
    for panel in percentiles(dashboard(1.0))["concat"]:
        assert not any("data" in layer for layer in panel["layer"])


def test_a_column_of_percentiles_has_one_scale() -> None:
    def scale(panel: dict[str, Any]) -> Any:
        return panel["layer"][-1]["encoding"]["y"]["scale"]

    first, _, second, _ = percentiles(dashboard(0.5, 2.0))["concat"]
    assert scale(first) == scale(second)


def test_waiting_and_running_add_up_to_the_whole_time() -> None:
    spec = time_split(dashboard(1.0))
    [rows] = spec["datasets"].values()
    shares = [row["share"] for row in rows if row["pool"] == "gevent"]
    assert shares == [0.5, 0.125, 0.375]


@pytest.mark.slow
@pytest.mark.parametrize("chart", [pool_load, percentiles, time_split])
def test_vega_compiles_the_charts_without_points_too(chart: Any) -> None:
    for figures in (dashboard(1.0, None, 2.0), dashboard()):
        spec = json.loads(json.dumps(chart(figures)))
        if spec.get("concat") == []:
            continue  # the page shows no chart without runs
        assert vl_convert.vegalite_to_vega(spec)["marks"]


def script_url() -> str:
    return reverse("admin:poolwise_vega", args=[vega.bundle_digest()])


@pytest.mark.slow
def test_the_script_is_public_and_kept_by_caches(client: Client) -> None:
    response = client.get(script_url(), headers={"accept-encoding": "gzip"})
    assert response["Content-Type"].startswith("text/javascript")
    assert "immutable" in response["Cache-Control"]
    assert "Cookie" not in response["Vary"]
    assert b"vegaEmbed" in gzip.decompress(response.content)


@pytest.mark.slow
def test_the_script_comes_plain_to_a_client_without_gzip(client: Client) -> None:
    assert b"vegaEmbed" in client.get(script_url()).content


def test_an_outdated_address_of_the_script_is_not_found(client: Client) -> None:
    assert client.get(reverse("admin:poolwise_vega", args=["0123456789abcdef"])).status_code == 404
