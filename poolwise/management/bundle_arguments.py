"""The options of `compare` about result bundles and pictures."""

import subprocess
from argparse import ArgumentParser, ArgumentTypeError
from pathlib import Path

from django.core.management.base import CommandError

from poolwise import lab
from poolwise.charts import export
from poolwise.lab import Bundle, charts, report
from poolwise.lab import bundle as bundles
from poolwise.models import Comparison
from poolwise.support import PoolwiseError, parameters

#: The chart that `--plot` draws: the first of these that the report fills.
_PLOTTED = ("sweep", "ratios", "time")
NOTHING_MEASURED = 2


def add_bundle_arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    group = parser.add_argument_group("report")
    group.add_argument("--import", dest="import_file", type=Path, metavar="FILE",
                       help="read a bundle back as a comparison; runs nothing")  # fmt: skip
    group.add_argument("--check", type=Path, metavar="FILE",
                       help="run the comparison of a bundle again; exit 1 if a pool became slower")  # fmt: skip
    group.add_argument("--max-regression", type=percentage, default=0.10, metavar="PERCENT",
                       help="how much longer --check lets a job take (10%%)")  # fmt: skip
    group.add_argument("--bundle", type=Path, metavar="FILE", help="write the result bundle there")
    group.add_argument("--plot", type=picture, metavar="FILE", help="draw the result there, as .svg or .png")


def percentage(text: str) -> float:
    """Return `10%` or `10` as 0.1. Raise ArgumentTypeError."""
    try:
        value = float(text.strip().removesuffix("%")) / 100
    except ValueError:
        value = -1.0
    if not 0 <= value <= 100:
        raise ArgumentTypeError(f"{text!r} is no percentage such as 10%.")
    return value


def picture(text: str) -> Path:
    """Return the path of a picture. Raise ArgumentTypeError for a kind that is not drawn."""
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


def planned_as(bundle: Bundle) -> tuple[Comparison, list[str]]:
    """Plan the comparison of a bundle again; return it and its pools. Raise CommandError."""
    planned = bundle.manifest.comparison
    try:
        return lab.plan(**planned.model_dump()), planned.pools
    except PoolwiseError as error:
        raise CommandError(f"The bundle's comparison cannot run here: {error}") from error


def write_files(comparison: Comparison, bundle: Path | None, plot: Path | None) -> None:
    """Write the bundle and the picture that were asked for. Raise CommandError."""
    try:
        if bundle is not None:
            bundle.write_bytes(bundles.write(comparison))
        if plot is not None:
            plot.write_bytes(_picture(comparison, plot.suffix.removeprefix(".")))
    except (PoolwiseError, OSError, subprocess.SubprocessError) as error:
        raise CommandError(f"The report could not be written: {error}") from error


def _picture(comparison: Comparison, kind: str) -> bytes:
    found, samples = report.load(comparison), report.samples(comparison)
    for key in _PLOTTED:
        chart = charts.chart(key, found, samples) if found else None
        if chart is not None:
            subtitle = f"{comparison.definition} · {parameters(comparison.shown_params)}"
            return export.draw(chart.spec, kind, subtitle=subtitle)
    raise PoolwiseError("The comparison came to nothing that could be drawn.")


def verdict_of_check(bundle: Bundle, comparison: Comparison, max_regression: float) -> list[str]:
    """Return what became of each pool, in sentences. Raise CommandError when one is slower, or nothing can be said."""
    after = report.load(comparison)
    if after is None:
        raise CommandError("The new comparison has no report: is the coordinator of the same version?")
    found = bundles.changes(bundle.report, after, max_regression=max_regression)
    summary = bundles.summary(found, max_regression)
    lines = [change.text for change in found]
    if any(change.is_regression for change in found):
        raise CommandError("\n".join([*lines, summary]), returncode=1)
    if all(change.verdict.outcome == "cannot tell" for change in found):
        raise CommandError("\n".join([*lines, summary]), returncode=NOTHING_MEASURED)
    return [*lines, summary]
