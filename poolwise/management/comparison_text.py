"""The result of a comparison as text for a terminal: tables, failed checks, and the answer."""

import re
import shutil
import textwrap
from collections.abc import Iterator
from typing import Any

from poolwise.lab import Report, ResultsTable, report
from poolwise.management.text_table import aligned, comparison_table, sweep_table
from poolwise.models import Comparison

#: Longer lines are hard to read, however wide the terminal is.
_MAX_TEXT_CHARS = 100
_AFTER_NUMBER = re.compile(r"(?<=\d) (?=\S)")
#: What `--json` contains of the comparison and the report, and what it leaves out of each pool.
_PLANNED = ("definition", "copies", "rounds", "budget_s")
_NOT_OF_A_POOL = {"batches", "time", "overhead_s", "stall", "peak_memory_bytes"}
_REPORT_KEYS = ("answer", "pairs", "validity", "sweep")


def as_json(comparison: Comparison) -> dict[str, Any]:
    """Return the figures with the answer, the pairs, the validity checks and the sweep; null where there is no report."""
    built = comparison.report or {}
    pools = report.figures(comparison)
    return {
        **{name: getattr(comparison, name) for name in _PLANNED},
        "params": comparison.shown_params,
        "pools": [pool.model_dump(mode="json", exclude=_NOT_OF_A_POOL) for pool in pools],
        **{key: built.get(key) for key in _REPORT_KEYS},
    }


def comparison_text(comparison: Comparison) -> str:
    """Return tables, failed checks and lesson; the answer comes last, where it stays in view."""
    loaded = report.load(comparison)
    if loaded is None:
        return comparison_table(comparison, report.figures(comparison))
    swept = loaded.sweep or {}
    tables = [
        sweep_table(swept) if swept else "",
        comparison_table(comparison, loaded.pools, at_most_slots=bool(swept)),
    ]
    checks = map(wrapped, _failed_checks(loaded))
    lesson = [_results_table(loaded.results_table), wrapped(loaded.lesson)]
    return "\n\n".join(filter(None, [*tables, *checks, *lesson, _answer(loaded)]))


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


def _failed_checks(loaded: Report) -> Iterator[str]:
    """Yield why pools do not count, unless the answer has the reason."""
    for check in loaded.validity.checks:
        reason = check.reason.rstrip(".")
        if check.withholds and reason[1:] not in loaded.answer.text:
            yield f"Failed validity check “{check.title}”: {check.reason}"


def _answer(loaded: Report) -> str:
    answer = loaded.answer
    rest = (answer.next_step, answer.why)
    return "\n".join([wrapped(answer.text), *(wrapped(text, indent="  ") for text in rest if text)])
