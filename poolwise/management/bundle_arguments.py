"""The options of `compare` for result bundles and charts."""

import subprocess
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.core.management.base import CommandError

from poolwise.charts import export
from poolwise.lab import Bundle, charts, report
from poolwise.lab import bundle as bundles
from poolwise.management.arguments import number
from poolwise.models import Comparison
from poolwise.support import PoolwiseError, parameters

#: `--plot` draws the first of these charts that the report has data for.
_PLOTTED = ("sweep", "ratios", "time")
#: Exit status of a check without a result: 1 is for a pool that became slower alone.
NO_RESULT = 2


def add_bundle_arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    group = parser.add_argument_group("report")
    group.add_argument(
        "--import",
        dest="import_file",
        type=Path,
        metavar="FILE",
        help="import a bundle as a comparison without running anything",
    )
    group.add_argument(
        "--check",
        type=Path,
        metavar="FILE",
        help="repeat the comparison of a bundle, or with --pools a part of it; exit 1 if a pool became slower than "
        "allowed, 2 if there is no result",
    )
    group.add_argument(
        "--max-regression",
        type=percentage,
        default=bundles.ALLOWANCE,
        metavar="PERCENT",
        help="with --check, how much longer jobs may take (default 10%%)",
    )
    group.add_argument("--bundle", type=Path, metavar="FILE", help="write the result bundle to FILE")
    group.add_argument(
        "--plot", type=image_path, metavar="FILE", help="plot the result to FILE, .svg or .png"
    )


def percentage(text: str) -> float:
    """Return `10%` or `10` as 0.1. Raise ArgumentTypeError."""
    try:
        value = number(text.strip().removesuffix("%")) / 100
    except ValueError:
        value = -1.0
    if not 0 <= value <= 100:
        raise ArgumentTypeError(f"{text!r} is not a percentage such as 10%.")
    return value


def image_path(text: str) -> Path:
    """Return the path of an image file. Raise ArgumentTypeError for an unknown format."""
    path = Path(text)
    if path.suffix.removeprefix(".") not in export.CONTENT_TYPES:
        raise ArgumentTypeError(f"{text!r} must end in .svg or .png.")
    return path


def read_bundle(file: Path) -> Bundle:
    """Return a bundle. Raise CommandError."""
    try:
        return bundles.read(file)
    except (PoolwiseError, OSError) as error:
        raise CommandError(f"{file}: {error}") from error


def import_bundle(file: Path) -> Comparison:
    """Store a bundle as a comparison. Raise CommandError."""
    try:
        return bundles.store(read_bundle(file))
    except PoolwiseError as error:
        raise CommandError(f"{file}: {error}") from error


@contextmanager
def failing_with(status: int) -> Iterator[None]:
    """Give errors of the command this exit status."""
    try:
        yield
    except CommandError as error:
        error.returncode = status
        raise


def pools_to_check(bundle: Bundle, names: str) -> list[str]:
    """Return the pools of a bundle, or those of them that are named. Raise CommandError for any other."""
    planned = bundle.manifest.comparison.pools
    chosen = [name.strip() for name in names.split(",") if name.strip()] or planned
    if unknown := [name for name in chosen if name not in planned]:
        raise CommandError(f"--pools: the bundle has no {unknown[0]}; it has {', '.join(planned)}.")
    return chosen


def refuse_unless_baseline(bundle: Bundle, pools: list[str], max_regression: float) -> str:
    """Return what a check against the bundle finds. Raise CommandError if it would have no result for some pool."""
    planned = bundle.manifest.comparison
    try:
        now, slots = bundles.environment_now(), bundles.slots_now(planned)
    except PoolwiseError as error:
        raise CommandError(f"Cannot repeat the comparison of the bundle: {error}") from error
    faults = bundles.faults(bundle.report, now=now, slots=slots, pools=pools, max_regression=max_regression)
    if faults:
        raise CommandError("\n".join(["The bundle cannot be checked against.", *faults]))
    found = bundles.smallest_found(bundle.report, pools, max_regression=max_regression)
    shown = ", ".join(f"{name} {smallest:.2f}×" for name, smallest in found.items())
    return (
        f"If the new rounds vary like those of the bundle, the check finds from: {shown} as long as before."
    )


def planned_as(bundle: Bundle, pools: list[str]) -> tuple[Comparison, list[str]]:
    """Plan the rounds of a bundle again on these of its pools, and return them too. Raise CommandError."""
    try:
        return bundles.plan_again(bundle, pools), pools
    except PoolwiseError as error:
        raise CommandError(f"Cannot repeat the comparison of the bundle: {error}") from error


def write_files(comparison: Comparison, bundle: Path | None, plot: Path | None) -> None:
    """Write the bundle and the chart to their files, if given. Raise CommandError."""
    try:
        if bundle is not None:
            bundle.write_bytes(bundles.write(comparison))
        if plot is not None:
            plot.write_bytes(_chart_image(comparison, plot.suffix.removeprefix(".")))
    except (PoolwiseError, OSError, subprocess.SubprocessError) as error:
        raise CommandError(f"Cannot write the report: {error}") from error


def _chart_image(comparison: Comparison, kind: str) -> bytes:
    loaded, samples = report.load(comparison), report.samples(comparison)
    for key in _PLOTTED:
        chart = charts.chart(key, loaded, samples) if loaded else None
        if chart is not None:
            subtitle = f"{comparison.definition} · {parameters(comparison.shown_params)}"
            return export.draw(chart.spec, kind, subtitle=subtitle)
    raise PoolwiseError("The comparison has nothing to plot.")


def result_of_check(bundle: Bundle, comparison: Comparison, max_regression: float) -> list[str]:
    """Return a line for each pool, then a summary. Raise CommandError if a pool is slower, or none could be compared."""
    after = report.load(comparison)
    if after is None:
        raise CommandError(
            "The new comparison has no report: is the coordinator of the same version?", returncode=NO_RESULT
        )
    by_pool = bundles.changes(
        bundle.report, after, max_regression=max_regression, in_flight=bundle.manifest.comparison.in_flight
    )
    lines = [*(change.text for change in by_pool), bundles.summary(by_pool, max_regression)]
    if any(change.is_regression for change in by_pool):
        raise CommandError("\n".join(lines), returncode=1)
    if all(change.between is None for change in by_pool):
        raise CommandError("\n".join(lines), returncode=NO_RESULT)
    return lines
