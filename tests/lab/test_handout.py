"""The report to hand over: one HTML file that opens offline, and a summary in Markdown."""

import re
import subprocess
from typing import Any

import pytest

from poolwise.charts import export
from poolwise.lab import handout
from poolwise.lab.handout import page, pictures
from poolwise.lab.handout.summary import code, escaped
from poolwise.lab.report import Report
from tests.helpers import handout_sample as sample
from tests.helpers import report_sample
from tests.helpers.strict_html import StrictHtml

HOSTILE = "<script>alert(1)</script> | `x` *b* </style> @team https://example.org"
SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="9"><defs><clipPath id="c1"/></defs><g clip-path="url(#c1)"/></svg>'
#: Pipes that separate cells.
CELLS = re.compile(r"(?<!\\)\|")


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Draw nothing; return the charts that would have been drawn."""
    specs: dict[str, Any] = {}

    def draw_all(given: dict[str, Any]) -> dict[str, str]:
        specs.update(given)
        return dict.fromkeys(given, SVG)

    monkeypatch.setattr(export, "draw_all", draw_all)
    return specs


def html(report: Report | None = None, **comparison: Any) -> str:
    return handout.html(sample.comparison(**comparison), report or sample.report(), report_sample.samples())


def markdown(report: Report | None = None, **comparison: Any) -> str:
    return handout.markdown(sample.comparison(**comparison), report or sample.report())


def hostile() -> Report:
    checks = report_sample.validity(alone=HOSTILE)
    return sample.report(
        answer=sample.answer(text=HOSTILE, tie_reason=HOSTILE, next_step=HOSTILE + "!"),
        validity=checks, environment={"cores": HOSTILE}, lesson=HOSTILE, metric=HOSTILE,
        results_table={"head": ["Pool", HOSTILE], "rows": [["gevent", HOSTILE]]},
    )  # fmt: skip


def variants(number: int) -> Report:
    """Return a report of so many variants."""
    report = sample.report()
    pools = [report.pools[0].model_copy(update={"name": f"n={place}"}) for place in range(number)]
    standings = [sample.standing(pool.name, "out", 1.5, 1.4, 1.6) for pool in pools]
    return sample.report(
        pools=[pool.model_dump() for pool in pools], answer=sample.answer(standings=standings)
    )


@pytest.mark.usefixtures("drawn")
def test_the_answer_comes_first_and_what_carries_it_follows() -> None:
    text = StrictHtml(html()).text
    wanted = ["gevent and asyncio are equally fast within 8 %", "least memory", "As a table", "Pools beside the fastest",
              "Where a job’s time went", "Validity checks: 10 passed, 0 failed", "Figures", "Environment", "Run it again",
              "manage.py compare io.wait"]  # fmt: skip
    places = [text.index(words) for words in wanted]
    assert places == sorted(places)


@pytest.mark.slow
def test_the_file_needs_no_script_and_no_network() -> None:
    document = html(hostile(), params={"note": HOSTILE})
    parsed = StrictHtml(document)
    assert "script" not in parsed.tags
    assert {"link", "img", "iframe", "image", "use", "a"}.isdisjoint(parsed.tags)
    names = {name for name, _ in parsed.attributes}
    assert not [name for name in names if name.startswith("on") or name in ("href", "src", "xlink:href")]
    assert set(re.findall(r"https?://[^ &<!)]*|url\((?!#)", document)) == {"https://example.org"}
    assert HOSTILE in parsed.text
    assert parsed.tags.count("svg") >= 4
    assert parsed.tags.count("style") == 1


def test_a_plain_report_contains_no_address_at_all(drawn: dict[str, Any]) -> None:
    document = html()
    assert drawn
    assert "http:" not in document
    assert "https:" not in document
    assert "//" not in document.replace("/* the", "")


def test_each_chart_is_drawn_for_a_wide_screen_and_for_a_phone(drawn: dict[str, Any]) -> None:
    parsed = StrictHtml(html())
    keys = {name.rpartition("-")[0] for name in drawn}
    assert {"time", "distributions"} <= keys
    assert len(drawn) == 2 * len(keys) == parsed.tags.count("svg")
    assert len(set(parsed.ids)) == len(parsed.ids)
    assert drawn["distributions-340"]["columns"] == 1
    assert drawn["time-340"]["width"] == 340


def test_a_chart_is_drawn_without_marks_that_only_a_tooltip_needs(drawn: dict[str, Any]) -> None:
    html()
    panels = drawn["distributions-1080"]["concat"]
    assert [len(panel["layer"]) for panel in panels] == [1, 1]


def test_tables_replace_charts_that_cannot_be_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Any) -> None:
        raise subprocess.CalledProcessError(1, "draw")

    monkeypatch.setattr(export, "draw_all", fail)
    document = html()
    assert "<svg" not in document
    assert "The chart is not drawn here; the table has its figures." in document
    assert "<details open><summary>As a table" in document


def test_a_chart_that_is_too_large_is_left_out(
    drawn: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures, "MAX_SPEC_CHARS", 20_000)
    document = html()
    assert document.count("<svg") == 2 * len({key.rpartition("-")[0] for key in drawn}) > 0
    assert "distributions-340" not in drawn
    assert "The chart is not drawn here" in document


@pytest.mark.usefixtures("drawn")
def test_checks_are_folded_when_all_pass() -> None:
    assert "<details><summary>Validity checks: 10 passed" in html()
    failed = html(sample.report(validity=report_sample.validity(alone="Another job ran.")))
    assert "<details open><summary>Validity checks: 9 passed, 1 failed" in failed
    assert "Another job ran." in failed


@pytest.mark.usefixtures("drawn")
def test_a_report_without_an_answer_says_why_and_keeps_its_figures() -> None:
    nothing = sample.answer(
        state="none",
        text="No round counts.",
        pool="",
        standings=[],
        why="",
        next_step="Start it again.",
    )
    text = StrictHtml(html(sample.report(answer=nothing))).text
    assert "No round counts. Start it again." in text
    assert "not measured" in text
    assert "recommended" not in text


@pytest.mark.usefixtures("drawn")
def test_a_secret_parameter_is_in_neither() -> None:
    params = {"token": {"$secret": "encrypted-text"}}
    assert "encrypted-text" not in html(params=params)
    assert "encrypted-text" not in markdown(params=params)
    assert "••••••" in markdown(params=params)


def test_the_style_sheets_end_no_style_element() -> None:
    assert "<" not in page._style()


def test_the_summary_has_answer_table_and_command() -> None:
    text = markdown()
    assert (
        "**gevent and asyncio are equally fast within 8 %; take gevent (50 slots): least memory per slot (1.2 MB).**"
        in text
    )
    assert "| **gevent** | 1.00× | – | fastest |" in text
    assert "| prefork | 16.8× | 15.9× to 17.6× | slower |" in text
    assert "| asyncio | 1.04× | 1.00× to 1.08× | may be the fastest |" in text
    assert "The job waits for 99 % of its run." in text
    assert "```sh\nmanage.py compare io.wait --pools prefork" in text
    assert "Failed check" not in text
    assert 10 <= len(text.splitlines()) <= 25


def test_a_failed_check_says_what_it_takes_away() -> None:
    validity = report_sample.validity(alone="Another job ran.")
    next(check for check in validity["checks"] if check["id"] == "alone")["pools"] = ["gevent"]
    text = markdown(sample.report(validity=validity))
    assert "- Failed check “No other jobs” (takes away the result of gevent): Another job ran." in text
    warned = markdown(sample.report(validity=report_sample.validity(stalls="It stalled.")))
    assert "- Failed check “No stall” (a warning): It stalled." in warned


def test_an_open_answer_says_what_would_settle_it() -> None:
    undecided = sample.answer(state="open", next_step="About 12 rounds would settle it.")
    assert "About 12 rounds would settle it." in markdown(sample.report(answer=undecided))


def test_the_summary_of_many_variants_stays_short() -> None:
    every = {check["id"]: "It failed." for check in report_sample.validity()["checks"]}
    report = variants(40).model_copy(
        update={"validity": sample.report(validity=report_sample.validity(**every)).validity}
    )
    text = markdown(report)
    assert len(text.splitlines()) <= 25
    assert "| and 34 more |" in text
    assert "- and 7 more failed checks" in text


def test_a_command_that_is_too_long_is_left_to_the_bundle() -> None:
    text = markdown(params={"note": "x" * 3_000})
    assert "longer than 2,000 characters; the result bundle has it" in text
    assert len(text) < 3_000


def test_hostile_texts_have_no_effect_in_the_summary() -> None:
    text = markdown(hostile(), params={"note": HOSTILE})
    outside = "\n".join(line for line in text.splitlines() if not line.startswith(("manage.py", "`")))
    assert "<script>" not in outside.replace("\\<script\\>", "")
    assert "@team" not in outside
    assert "https://" not in outside
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert {len(CELLS.findall(row)) for row in rows} == {7}


@pytest.mark.parametrize(
    ("text", "literal"),
    [
        ("a|b", r"a\|b"), ("*x* `y`", r"\*x\* \`y\`"), ("<b>&amp;", r"\<b\>\&amp;"), ("[a](b)", r"\[a\](b)"),
        ("duration_s=0.1", "duration_s=0.1"), ("_x_", r"\_x\_"), ("two\nlines", "two lines"),
        ("@team", "@<!-- -->team"), ("#12", r"\#<!-- -->12"), ("http://x", "http:<!-- -->//x"),
        ("www.x.org", "www<!-- -->.x.org"), ("a\\", r"a\\"),
    ],
)  # fmt: skip
def test_markup_in_a_text_is_escaped(text: str, literal: str) -> None:
    assert escaped(text) == literal


@pytest.mark.parametrize(("text", "span"), [("a=1", "`a=1`"), ("a`b", "`` a`b ``"), ("a``b", "``` a``b ```")])
def test_a_code_span_may_contain_backticks(text: str, span: str) -> None:
    assert code(text) == span


def test_the_fence_of_the_command_is_longer_than_any_in_it() -> None:
    text = markdown(params={"note": "````"})
    assert text.endswith("\n`````\n")
    assert "`````sh\n" in text
