"""The charts of a comparison: their content, their validity, and their image files."""

import itertools
import json
from typing import Any

import pytest
import vl_convert

from poolwise.charts import export
from poolwise.charts.common import COLOURS
from poolwise.lab.charts import KEYS, chart, charts
from poolwise.lab.report.figures import TimeSums
from poolwise.lab.statistics import Concurrency
from poolwise.support import times
from tests.helpers import report_sample as sample
from tests.helpers.core import is_vega_lite

SAMPLES = sample.samples()
REPORT = sample.report(sweep=sample.sweep())


def spec_of(key: str, **changes: Any) -> dict[str, Any]:
    drawn = chart(key, sample.report(**({"sweep": sample.sweep()} | changes)), SAMPLES)
    assert drawn is not None
    return drawn.spec


def titles(part: Any, kind: str) -> set[str]:
    """Return the titles of all axes or of all legends in a chart."""
    if isinstance(part, list):
        return {title for item in part for title in titles(item, kind)}
    if not isinstance(part, dict):
        return set()
    own = (
        {str(part[kind]["title"])} if isinstance(part.get(kind), dict) and part[kind].get("title") else set()
    )
    return own | {title for value in part.values() for title in titles(value, kind)}


def values(spec: dict[str, Any], **wanted: Any) -> list[dict[str, Any]]:
    """Return the rows of a chart's data that have these values."""
    rows = [row for rows in spec["datasets"].values() for row in rows]
    return [row for row in rows if all(row.get(key) == value for key, value in wanted.items())]


def colours(part: Any) -> dict[str, str]:
    """Return the colour of each pool that a chart, or a part of it, declares."""
    if isinstance(part, list):
        return {name: colour for item in part for name, colour in colours(item).items()}
    if not isinstance(part, dict):
        return {}
    scheme = part.get("color")
    own = (
        dict(zip(scheme["scale"]["domain"], scheme["scale"]["range"], strict=True))
        if isinstance(scheme, dict)
        else {}
    )
    return own | {name: colour for value in part.values() for name, colour in colours(value).items()}


@pytest.mark.parametrize("key", KEYS)
def test_every_chart_is_valid_vega_lite(key: str) -> None:
    spec = spec_of(key)
    assert is_vega_lite(spec)
    assert not is_vega_lite({**spec, "title": 5}), "the check sees a mistake"


@pytest.mark.parametrize("key", KEYS)
def test_every_chart_has_a_title_named_axes_and_a_table(key: str) -> None:
    drawn = chart(key, REPORT, SAMPLES)
    assert drawn is not None
    assert drawn.title
    assert drawn.help.endswith(".")
    assert drawn.rows
    assert all(len(row) == len(drawn.head) for row in drawn.rows)
    assert len(titles(drawn.spec, "axis")) >= 2


@pytest.mark.slow
@pytest.mark.parametrize("key", KEYS)
def test_vega_compiles_every_chart(key: str) -> None:
    assert vl_convert.vegalite_to_vega(json.loads(json.dumps(spec_of(key))))["marks"]


@pytest.mark.parametrize("key", KEYS)
def test_a_comparison_without_figures_has_no_chart(key: str) -> None:
    assert chart(key, sample.report(pools=[], answer=sample.answer(standings=[])), []) is None


def ratios_of(*standings: dict[str, Any], **changes: Any) -> list[dict[str, Any]]:
    """Return the rows of the chart of ratios with these standings beside the fastest, gevent."""
    given = sample.answer(standings=[sample.standing("gevent", "best", 1.0, 1.0, 1.0), *standings], **changes)
    return [row for row in values(spec_of("ratios", answer=given)) if row]


def test_pools_come_in_the_order_of_the_answer_with_their_standing() -> None:
    rows = ratios_of(
        sample.standing("asyncio", "candidate", 1.1, 0.97, 1.2),
        sample.standing("prefork", "out", 16.8, 15.9, 17.6),
    )
    assert [(row["pool"], row["role"], row["label"]) for row in rows] == [
        ("gevent", "fastest", "1.00×"),
        ("asyncio", "may be the fastest", "1.10×"),
        ("prefork", "slower", "16.8×"),
    ]
    assert (rows[1]["low"], rows[1]["high"]) == (0.97, 1.2)


def test_the_band_spans_the_margin_in_which_pools_count_as_equal() -> None:
    band = spec_of("ratios", answer=sample.answer(margin=0.1))["layer"][0]
    assert band["mark"]["type"] == "rect"
    assert [band["encoding"][end]["datum"] for end in ("x", "x2")] == [pytest.approx(1 / 1.1), 1.1]


def test_a_ratio_without_an_interval_has_no_whiskers() -> None:
    row = ratios_of(sample.standing("threads", "candidate", 2.0))[1]
    assert row["low"] == row["high"] == 2.0
    drawn = chart("ratios", sample.report(answer=sample.answer(
        standings=[sample.standing("gevent", "best", 1.0), sample.standing("threads", "candidate", 2.0)]
    )), SAMPLES)  # fmt: skip
    assert drawn is not None
    assert drawn.rows[1] == ["threads", "2.0×", "–", "may be the fastest"]


def test_a_pool_without_a_ratio_is_left_out() -> None:
    failing = sample.standing("threads", "not measured", reason="Jobs did not succeed.")
    out = sample.standing("prefork", "out", 16.8, 15.9, 17.6)
    assert [row["pool"] for row in ratios_of(failing, out)] == ["gevent", "prefork"]
    alone = sample.answer(standings=[sample.standing("gevent", "best", 1.0), failing])
    assert chart("ratios", sample.report(answer=alone), SAMPLES) is None


def test_the_chart_of_ratios_names_the_fastest() -> None:
    drawn = chart("ratios", REPORT, SAMPLES)
    assert drawn is not None
    assert drawn.title == "Time per job against gevent"
    assert drawn.help.endswith("in the band, a pool is equally fast.")


@pytest.mark.parametrize(("ratio", "text"), [(9.63, "9.6×"), (1.043, "1.04×"), (120.4, "120×"), (None, "–")])
def test_a_ratio_has_its_significant_digits(ratio: float | None, text: str) -> None:
    assert times(ratio) == text


def test_a_pool_keeps_its_colour_in_every_chart() -> None:
    for key in ("distributions", "concurrency", "sweep"):
        assert colours(spec_of(key))["gevent"] == COLOURS[2]
    assert list(colours(spec_of("sweep"))) == ["threads", "gevent"]


def test_a_pool_keeps_its_colour_in_every_comparison_and_shares_it_with_none() -> None:
    gevent = next(pool for pool in REPORT.pools if pool.name == "gevent")
    twin = gevent.model_copy(update={"name": "gevent2"})
    assigned = colours(spec_of("distributions", pools=[gevent, twin], sweep=None))
    assert assigned == {"gevent": COLOURS[2], "gevent2": COLOURS[4]}


def test_a_distribution_rises_from_nothing_to_all() -> None:
    for pool, field in itertools.product(sample.POOLS, ("wait_s", "run_s")):
        shares = [row["share"] for row in values(spec_of("distributions"), pool=pool) if field in row]
        assert shares[0] == 0
        assert shares[-1] == 1
        assert shares == sorted(shares)


def test_warm_up_and_failed_jobs_are_in_no_distribution() -> None:
    long = SAMPLES[0]._replace(run_s=99.0)
    odd = [long._replace(role="warmup"), long._replace(state="failed")]
    drawn = chart("distributions", REPORT, [*SAMPLES, *odd])
    assert drawn is not None
    assert not values(drawn.spec, run_s=99.0)


def test_a_percentile_that_needs_more_samples_is_not_shown() -> None:
    few = chart("distributions", REPORT, SAMPLES[:10])
    assert few is not None
    head = few.head.index("p99")
    assert few.rows[0][head] == "–"


def test_concurrency_never_passes_the_slots_and_ends_at_none() -> None:
    rows = values(spec_of("concurrency"), pool="prefork")
    assert max(row["running"] for row in rows) == 2
    assert rows[-1]["running"] == 0


def test_parts_of_the_run_that_were_not_measured_are_not_shown() -> None:
    time = TimeSums(cpu_s=1.0, run_queue_s=0, gil_wait_s=0, blocked_s=0, unattributed_s=3.0)
    pools = [REPORT.pools[0].model_copy(update={"time": time})]
    drawn = chart("time", sample.report(pools=pools), [])
    assert drawn is not None
    assert (drawn.head, drawn.rows) == (
        ["Pool", "On a core", "Unattributed"],
        [["prefork", "10 ms (25 %)", "30 ms (75 %)"]],
    )


def test_void_and_warm_up_batches_do_not_count_for_the_concurrency() -> None:
    pool = REPORT.pools[0]
    odd = pool.batches[0].model_copy(update={"concurrency": Concurrency(peak=99, mean=99.0), "counts": False})
    more = pool.model_copy(update={"batches": [*pool.batches, odd]})
    drawn = chart("concurrency", sample.report(pools=[more]), SAMPLES)
    assert drawn == chart("concurrency", sample.report(pools=[pool]), SAMPLES)


def test_the_knee_is_marked_and_named() -> None:
    drawn = chart("sweep", REPORT, SAMPLES)
    assert drawn is not None
    assert [row[:2] for row in drawn.rows if row[-1] == "knee"] == [["threads", "8"], ["gevent", "16"]]


def test_charts_without_data_are_left_out_of_all() -> None:
    assert "sweep" not in charts(sample.report(), SAMPLES)
    assert set(charts(sample.report(), [])) == {"ratios", "time"}


@pytest.mark.slow
def test_an_image_is_drawn_once_with_its_title_and_subtitle(monkeypatch: pytest.MonkeyPatch) -> None:
    svg = export.draw(spec_of("ratios"), "svg", subtitle="io.wait, 5 rounds of 50").decode()
    for text in ("<svg", "Time per job against gevent", "io.wait, 5 rounds of 50", "16.8×"):
        assert text in svg
    monkeypatch.setattr(export, "_drawn", lambda text, kind: pytest.fail("drawn again"))
    assert export.draw(spec_of("ratios"), "svg", subtitle="io.wait, 5 rounds of 50").decode() == svg


@pytest.mark.slow
def test_an_image_can_be_png() -> None:
    assert export.draw(spec_of("concurrency"), "png").startswith(b"\x89PNG")


def test_another_kind_of_image_is_refused() -> None:
    with pytest.raises(KeyError):
        export.draw(spec_of("ratios"), "exe")
