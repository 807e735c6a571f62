"""The options of `compare` for a report to hand over: `--html`, `--markdown`, and `--stored` for one that has run."""

from argparse import ArgumentParser, ArgumentTypeError
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from poolwise.lab import Report, handout, report
from poolwise.models import Comparison
from poolwise.support import as_uuid


def add_handout_arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    group = parser.add_argument_group("report to hand over")
    group.add_argument("--html", type=html_path, metavar="FILE", help="write the report to one HTML file")
    group.add_argument(
        "--markdown",
        action="store_true",
        help="print a summary in Markdown, for a pull request, instead of the tables",
    )
    group.add_argument(
        "--stored",
        metavar="ID",
        help="show a comparison that has run, by the ID that its page shows; run nothing",
    )


def html_path(text: str) -> Path:
    """Return the path of an HTML file. Raise ArgumentTypeError for another ending."""
    path = Path(text)
    if path.suffix not in (".html", ".htm"):
        raise ArgumentTypeError(f"{text!r} must end in .html.")
    return path


def check_handout(options: dict[str, Any]) -> None:
    """Raise CommandError for options that exclude one another."""
    if options["markdown"] and str(options["json"]) == "-":
        raise CommandError("--markdown and --json - both print to standard output: write the JSON to a file.")
    if options["stored"] and (options["import_file"] or options["check"]):
        raise CommandError("Give one of --stored, --import and --check.")


def stored_comparison(text: str) -> Comparison:
    """Return a comparison that has ended. Raise CommandError."""
    pk = as_uuid(text)
    comparison = Comparison.objects.filter(pk=pk).first() if pk else None
    if comparison is None:
        raise CommandError(f"--stored: no comparison has the ID {text!r}.")
    if not comparison.has_ended:
        raise CommandError(f"--stored: the comparison {text} has not ended.")
    return comparison


def markdown_of(comparison: Comparison) -> str:
    """Return the summary. Raise CommandError without a report."""
    return handout.markdown(comparison, _report_of(comparison))


def write_html(comparison: Comparison, file: Path | None) -> None:
    """Write the report to the file, if one is given. Raise CommandError."""
    if file is None:
        return
    document = handout.html(comparison, _report_of(comparison), report.samples(comparison))
    try:
        file.write_text(document, encoding="utf-8")
    except OSError as error:
        raise CommandError(f"--html: {file} cannot be written ({error.strerror}).") from error


def _report_of(comparison: Comparison) -> Report:
    loaded = report.load(comparison)
    if loaded is None:
        raise CommandError("The comparison has no report.")
    return loaded
