"""`manage.py compare` and result bundles: import, check, plot, bundle."""

import io
import re
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from poolwise.lab import bundle as bundles
from poolwise.lab import report
from poolwise.lab.bundle import writing
from poolwise.management import bundle_arguments
from poolwise.models import Comparison
from tests.helpers.comparison_rows import compared

pytestmark = pytest.mark.django_db
SLOW, FAST = [1.0, 1.01, 0.99, 1.02, 1.0], [0.1, 0.101, 0.099, 0.102, 0.1]


@pytest.fixture(autouse=True)
def _pools(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.JOB_POOLS = {
        name: {"model": name, "queue": name, "concurrency": 4} for name in ("prefork", "gevent")
    }
    monkeypatch.setattr(writing, "charts", lambda *_: {})


def frozen(spans: list[float] = FAST, **environment: Any) -> Comparison:
    comparison = compared({"prefork": SLOW, "gevent": spans}, environment={"cores": 2} | environment)
    report.freeze(comparison)
    return comparison


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """Return the path of a bundle."""
    file = tmp_path / "bundle.zip"
    file.write_bytes(bundles.write(frozen()))
    return file


def test_import_stores_the_comparison_and_shows_it(bundle: Path) -> None:
    out = io.StringIO()
    call_command("compare", "--import", str(bundle), stdout=out)
    imported = Comparison.objects.exclude(imported_at=None).get()
    assert f"imported as {imported.pk}" in out.getvalue()
    assert "Run io.wait on gevent (4 slots). It is 10.0× as fast as prefork." in out.getvalue()


@pytest.mark.slow
def test_import_plots_and_writes_the_bundle_again(bundle: Path, tmp_path: Path) -> None:
    svg, copy = tmp_path / "out.svg", tmp_path / "copy.zip"
    call_command(
        "compare", "--import", str(bundle), "--plot", str(svg), "--bundle", str(copy), stdout=io.StringIO()
    )
    assert svg.read_text().startswith("<svg")
    assert bundles.read(copy).report == bundles.read(bundle).report


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "Name a definition"),
        (("--import", "absent.zip"), "absent.zip"),
        (("--check", __file__), "Not a readable zip file"),
        (("io.wait", "--plot", "out.pdf"), "must end in .svg or .png"),
        (("io.wait", "--max-regression", "much"), "not a percentage"),
    ],
)
def test_unreadable_or_unwritable_files_are_refused_at_once(arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(CommandError, match=message):
        call_command("compare", *arguments)
    assert not Comparison.objects.exists()


def test_the_check_plans_the_same_comparison_again_or_a_part_of_it(bundle: Path) -> None:
    read = bundles.read(bundle)
    assert bundle_arguments.pools_to_check(read, "") == ["prefork", "gevent"]
    comparison, _ = bundle_arguments.planned_as(read, ["prefork", "gevent"])
    assert (comparison.definition, comparison.copies, comparison.rounds) == ("io.wait", 4, 5)
    assert comparison.batches.count() == 10
    part, _ = bundle_arguments.planned_as(read, bundle_arguments.pools_to_check(read, "gevent"))
    assert {batch.pool for batch in part.batches.all()} == {"gevent"}
    with pytest.raises(CommandError, match="the bundle has no threads; it has prefork, gevent"):
        bundle_arguments.pools_to_check(read, "threads")


def test_a_bundle_that_cannot_be_a_baseline_is_refused_before_anything_is_planned(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundles, "environment_now", lambda: {"cores": 64})
    before = Comparison.objects.count()
    with pytest.raises(CommandError) as error:
        call_command("compare", "--check", str(bundle))
    assert str(error.value).splitlines() == [
        "The bundle cannot be checked against.",
        "Different machine: cores was 2, is now 64. Record a new bundle with `compare --bundle` on this machine.",
    ]
    assert error.value.returncode == 2, "1 is for a slower pool alone"
    assert Comparison.objects.count() == before


def test_a_check_says_first_what_it_would_find(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundles, "environment_now", lambda: {"cores": 2})
    text = bundle_arguments.refuse_unless_baseline(bundles.read(bundle), ["prefork", "gevent"], 0.1)
    assert re.search(r"the check finds from: prefork 1\.\d\d×, gevent 1\.\d\d× as long as before\.$", text)


def test_a_check_of_a_bundle_whose_pool_is_gone_is_refused(bundle: Path, settings: Any) -> None:
    settings.JOB_POOLS = {"prefork": settings.JOB_POOLS["prefork"]}
    with pytest.raises(CommandError, match="Cannot repeat the comparison of the bundle") as error:
        call_command("compare", "--check", str(bundle))
    assert error.value.returncode == 2


@pytest.mark.parametrize(
    ("spans", "environment", "status"),
    [([1.6 * s for s in FAST], {}, 1), ([1.6 * s for s in FAST], {"cores": 64}, 2)],
)
def test_the_check_exits_1_for_a_slower_pool_and_2_without_a_result(
    bundle: Path, spans: list[float], environment: dict[str, Any], status: int
) -> None:
    with pytest.raises(CommandError) as error:
        bundle_arguments.result_of_check(bundles.read(bundle), frozen(spans, **environment), 0.1)
    assert error.value.returncode == status


def test_a_check_whose_new_comparison_has_no_report_has_no_result(bundle: Path) -> None:
    empty = Comparison.objects.create(definition="io.wait", copies=1)
    with pytest.raises(CommandError, match="has no report") as error:
        bundle_arguments.result_of_check(bundles.read(bundle), empty, 0.1)
    assert error.value.returncode == 2


def test_the_check_passes_a_pool_that_is_no_slower(bundle: Path) -> None:
    lines = bundle_arguments.result_of_check(bundles.read(bundle), frozen(), 0.1)
    assert lines[0].startswith("prefork: cannot tell: 1.00× as long as before (95 % bounds 0.8")
    assert lines[-1].startswith(
        "No pool is shown to be slower by more than 10 %. More rounds would tell for prefork"
    )


@pytest.mark.parametrize(("text", "share"), [("10%", 0.1), ("7.5", 0.075), ("0%", 0.0)])
def test_a_percentage_is_read_with_and_without_its_sign(text: str, share: float) -> None:
    assert bundle_arguments.percentage(text) == pytest.approx(share)
