"""What a comparison came to, for a terminal: its tables, then the verdict and the advice."""

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
#: What `--json` has of the comparison, of each pool, and of the report.
_ASKED = ("definition", "copies", "rounds")
_NOT_OF_A_POOL = {"batches", "time", "overhead_s", "stall", "peak_memory_bytes"}
_REPORT_KEYS = ("verdicts", "validity", "advice", "sweep")


def as_json(comparison: Comparison) -> dict[str, Any]:
    """Return the figures with the verdicts, the validity checks, the advice and the sweep; null where there is no report."""
    found = comparison.report or {}
    pools = report.figures(comparison)
    return {
        **{name: getattr(comparison, name) for name in _ASKED},
        "params": comparison.shown_params,
        "pools": [pool.model_dump(mode="json", exclude=_NOT_OF_A_POOL) for pool in pools],
        **{key: found.get(key) for key in _REPORT_KEYS},
    }


def comparison_text(comparison: Comparison) -> str:
    """Return all that there is to tell; the advice comes last, where a terminal is read first."""
    found = report.load(comparison)
    if found is None:
        return comparison_table(comparison, report.figures(comparison))
    swept = found.sweep or {}
    tables = [
        sweep_table(swept) if swept else "",
        comparison_table(comparison, found.pools, at_most_slots=bool(swept)),
    ]
    verdict = map(wrapped, [_verdict(comparison, found), *_failed_checks(found)])
    lesson = [_results_table(found.results_table), wrapped(found.lesson)]
    return "\n\n".join(filter(None, [*tables, *verdict, *lesson, _advice(found)]))


def wrapped(text: str, indent: str = "") -> str:
    """Return a text in lines that fit the terminal; a number stays with its unit."""
    width = min(shutil.get_terminal_size().columns, _MAX_TEXT_CHARS)
    kept = _AFTER_NUMBER.sub("\N{NO-BREAK SPACE}", text)
    how: dict[str, Any] = {"break_long_words": False, "break_on_hyphens": False}
    lines = textwrap.wrap(kept, width, initial_indent=indent, subsequent_indent=indent, **how)
    return "\n".join(lines).replace("\N{NO-BREAK SPACE}", " ")


def _results_table(results_table: ResultsTable | None) -> str:
    """Return what the jobs of a hazard returned, as a table."""
    return "\n".join(aligned([results_table.head, *results_table.rows])) if results_table else ""


def _verdict(comparison: Comparison, found: Report) -> str:
    """Return the verdict, and how to get one where the rounds were too few for any."""
    sentence = f"{found.sentence.rstrip('.')}."
    wanted = fewest_rounds(len(found.verdicts) + 1)
    if not found.verdicts or comparison.rounds >= wanted or comparison.imported_at is not None:
        return sentence
    return f"{sentence} For a verdict take --rounds {wanted}, or --preset quick."


def _failed_checks(found: Report) -> Iterator[str]:
    """Yield why verdicts are withheld, unless the verdict's sentence says it already."""
    for check in found.validity.checks:
        if check.withholds and check.reason.rstrip(".") not in found.sentence:
            yield f"Check failed, “{check.title}”: {check.reason}"


def _advice(found: Report) -> str:
    advice = found.advice
    if advice is None:
        return ""
    head = f"Advice, {_ground(found, advice)}: {advice.pool} with {count(advice.slots, 'slot')}"
    return f"{wrapped(head)}\n{wrapped(advice.text, indent='  ')}"


def _ground(found: Report, advice: Advice) -> str:
    """Return what the advice rests on."""
    if advice.proven:
        return "as measured"
    if found.has_knee(advice.pool, advice.slots):
        return "slots as measured" + ", pool by the job's kind" * (len(found.pools) > 1)
    return "by the job's kind"
