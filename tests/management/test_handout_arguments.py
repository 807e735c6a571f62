"""`manage.py compare` with `--markdown`, `--html` and `--stored`."""

import io
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from poolwise.charts import export
from poolwise.lab import handout, report
from poolwise.management.commands import compare
from poolwise.models import Comparison
from tests.helpers import handout_sample
from tests.helpers import report_sample as sample

pytestmark = [pytest.mark.django_db, pytest.mark.slow]


@pytest.fixture(autouse=True)
def _no_charts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "draw_all", lambda specs: dict.fromkeys(specs, "<svg></svg>"))


@pytest.fixture
def stored() -> Comparison:
    """Return a comparison that has run."""
    return sample.store(report=handout_sample.report())


def printed(*arguments: object) -> tuple[str, str]:
    """Return what the command prints on standard output and on standard error."""
    out, err = io.StringIO(), io.StringIO()
    call_command("compare", *map(str, arguments), stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def test_markdown_replaces_the_tables(stored: Comparison) -> None:
    out, err = printed("--stored", stored.pk, "--markdown")
    assert out == handout.markdown(stored, handout_sample.report())
    assert err == ""


def test_the_html_file_is_written(stored: Comparison, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    printed("--stored", stored.pk, "--markdown", "--html", file)
    assert file.read_text() == handout.html(stored, handout_sample.report(), report.samples(stored))
    assert file.read_text().startswith("<!doctype html>")


def test_an_imported_bundle_prints_nothing_but_the_summary(
    stored: Comparison, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compare, "import_bundle", lambda _: stored)
    out, err = printed("--import", "bundle.zip", "--markdown")
    assert out.startswith("### Poolwise")
    assert err == f"imported as {stored.pk}\n"


def test_json_may_go_to_a_file_beside_the_summary(stored: Comparison, tmp_path: Path) -> None:
    out, _ = printed("--stored", stored.pk, "--markdown", "--json", tmp_path / "figures.json")
    assert out.startswith("### Poolwise")
    assert '"definition": "io.wait"' in (tmp_path / "figures.json").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("io.wait", "--html", "report.pdf"), r"must end in \.html"),
        (("io.wait", "--html", "-"), r"must end in \.html"),
        (("io.wait", "--html", "/nowhere/report.html"), "--html: /nowhere/report.html cannot be written"),
        (("io.wait", "--markdown", "--json", "-"), "both print to standard output"),
        (("--stored", "nothing", "--markdown"), "no comparison has the ID 'nothing'"),
        (("--stored", "00000000-0000-4000-8000-000000000000"), "no comparison has the ID"),
        (("--stored", "x", "--import", "bundle.zip"), "Give one of --stored, --import and --check"),
    ],
)
def test_bad_arguments_are_refused_at_once(arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(CommandError, match=message):
        printed(*arguments)
    assert not Comparison.objects.exists()


@pytest.mark.parametrize(
    ("columns", "message"),
    [({"state": "running"}, "has not ended"), ({"state": "cancelled"}, "The comparison has no report")],
)
@pytest.mark.parametrize("option", ["--markdown", "--html"])
def test_a_comparison_without_a_report_has_no_summary(
    tmp_path: Path, columns: dict[str, Any], message: str, option: str
) -> None:
    comparison = sample.store(report=None, **columns)
    given = [option] if option == "--markdown" else [option, tmp_path / "report.html"]
    with pytest.raises(CommandError, match=message):
        printed("--stored", comparison.pk, *given)


def test_a_folder_that_disappears_meanwhile_is_a_clear_error(
    stored: Comparison, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compare, "_check_writable", lambda *_: None)
    with pytest.raises(CommandError, match="No such file or directory"):
        printed("--stored", stored.pk, "--markdown", "--html", tmp_path / "gone" / "report.html")
