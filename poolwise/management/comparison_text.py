"""The result of a comparison as text for a terminal: tables, verdict and advice."""

import re
import shutil
import textwrap
from collections.abc import Iterator
from typing import Any

from poolwise.lab import Advice, Report, ResultsTable, fewest_rounds, report
from poolwise.management.text_table import aligned, comparison_table, sweep_table
from poolwise.models import Comparison
from poolwise.support import count

#: Longer lines are hard to read, however wide the terminal is.
_MAX_TEXT_CHARS = 100
_AFTER_NUMBER = re.compile(r"(?<=\d) (?=\S)")
#: What `--json` contains of the comparison and the report, and what it leaves out of each pool.
_PLANNED = ("definition", "copies", "rounds")
_NOT_OF_A_POOL = {"batches", "time", "overhead_s", "stall", "peak_memory_bytes"}
_REPORT_KEYS = ("verdicts", "validity", "advice", "sweep")


def as_json(comparison: Comparison) -> dict[str, Any]:
    """Return the figures with the verdicts, the validity checks, the advice and the sweep; null where there is no report."""
    built = comparison.report or {}
    pools = report.figures(comparison)
    return {
        **{name: getattr(comparison, name) for name in _PLANNED},
        "params": comparison.shown_params,
        "pools": [pool.model_dump(mode="json", exclude=_NOT_OF_A_POOL) for pool in pools],
        **{key: built.get(key) for key in _REPORT_KEYS},
    }


def comparison_text(comparison: Comparison) -> str:
    """Return tables, verdict, failed checks and lesson; the advice comes last, where it stays in view."""
    loaded = report.load(comparison)
    if loaded is None:
        return comparison_table(comparison, report.figures(comparison))
    swept = loaded.sweep or {}
    tables = [
        sweep_table(swept) if swept else "",
        comparison_table(comparison, loaded.pools, at_most_slots=bool(swept)),
    ]
    verdict = map(wrapped, [_verdict(comparison, loaded), *_failed_checks(loaded)])
    lesson = [_results_table(loaded.results_table), wrapped(loaded.lesson)]
    return "\n\n".join(filter(None, [*tables, *verdict, *lesson, _advice(loaded)]))


def wrapped(text: str, indent: str = "") -> str:
    """Return a text in lines that fit the terminal, without a break between a number and its unit."""
    width = min(shutil.get_terminal_size().columns, _MAX_TEXT_CHARS)
    kept = _AFTER_NUMBER.sub("\N{NO-BREAK SPACE}", text)
    lines = textwrap.wrap(
        kept,
        width,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return "\n".join(lines).replace("\N{NO-BREAK SPACE}", " ")


def _results_table(results_table: ResultsTable | None) -> str:
    """Return the results of a hazard's jobs as a table."""
    return "\n".join(aligned([results_table.head, *results_table.rows])) if results_table else ""


def _verdict(comparison: Comparison, loaded: Report) -> str:
    """Return the verdict, and how to get one where the rounds were too few."""
    sentence = f"{loaded.sentence.rstrip('.')}."
    wanted = fewest_rounds(len(loaded.verdicts) + 1)
    if not loaded.verdicts or comparison.rounds >= wanted or comparison.imported_at is not None:
        return sentence
    return f"{sentence} For a verdict use --rounds {wanted} or --preset quick."


def _failed_checks(loaded: Report) -> Iterator[str]:
    """Yield why verdicts are withheld, unless the verdict's sentence has the reason."""
    for check in loaded.validity.checks:
        if check.withholds and check.reason.rstrip(".") not in loaded.sentence:
            yield f"Failed validity check “{check.title}”: {check.reason}"


def _advice(loaded: Report) -> str:
    advice = loaded.advice
    if advice is None:
        return ""
    head = f"Advice, {_basis(loaded, advice)}: {advice.pool} with {count(advice.slots, 'slot')}"
    return f"{wrapped(head)}\n{wrapped(advice.text, indent='  ')}"


def _basis(loaded: Report, advice: Advice) -> str:
    """Return what the advice is based on."""
    if advice.proven:
        return "as measured"
    if loaded.has_knee(advice.pool, advice.slots):
        return "slots as measured" + ", pool by kind of job" * (len(loaded.pools) > 1)
    return "by kind of job"
