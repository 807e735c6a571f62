"""What a comparison came to, for a terminal: its tables, then the verdict and the advice."""

import re
import shutil
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from jobs.evidence.words import is_knee
from jobs.formats import count
from jobs.management.text_table import aligned, comparison_table, sweep_table
from jobs.models import Comparison
from jobs.verdicts import fewest_rounds

#: Longer lines are hard to read, however wide the terminal is.
_MAX_TEXT_CHARS = 100
_AFTER_NUMBER = re.compile(r"(?<=\d) (?=\S)")
#: What `--json` has of the evidence, beside the figures.
_EVIDENCE_KEYS = ("verdicts", "gate", "advice", "sweep")

Figures = Mapping[str, Any]


def as_json(comparison: Comparison, figures: Figures) -> dict[str, Any]:
    """Return the figures with the verdicts, the gate, the advice and the sweep; null where there is no evidence."""
    found = comparison.evidence or {}
    return {**figures, **{key: found.get(key) for key in _EVIDENCE_KEYS}}


def comparison_text(comparison: Comparison, figures: Figures) -> str:
    """Return all that there is to tell; the advice comes last, where a terminal is read first."""
    found = comparison.evidence or {}
    swept = found.get("sweep") or {}
    tables = [sweep_table(swept) if swept else "", comparison_table(figures, at_most_slots=bool(swept))]
    verdict = map(wrapped, [_verdict(comparison, found), *_failed_checks(found)])
    lesson = [_harm(found), wrapped(found.get("lesson", ""))]
    return "\n\n".join(filter(None, [*tables, *verdict, *lesson, _advice(found)]))


def wrapped(text: str, indent: str = "") -> str:
    """Return a text in lines that fit the terminal; a number stays with its unit."""
    width = min(shutil.get_terminal_size().columns, _MAX_TEXT_CHARS)
    kept = _AFTER_NUMBER.sub("\N{NO-BREAK SPACE}", text)
    how: dict[str, Any] = {"break_long_words": False, "break_on_hyphens": False}
    lines = textwrap.wrap(kept, width, initial_indent=indent, subsequent_indent=indent, **how)
    return "\n".join(lines).replace("\N{NO-BREAK SPACE}", " ")


def _harm(found: Figures) -> str:
    """Return what the jobs of a hazard returned, as a table."""
    harm = found.get("harm")
    return "\n".join(aligned([harm["head"], *harm["rows"]])) if harm else ""


def _verdict(comparison: Comparison, found: Figures) -> str:
    """Return the verdict, and how to get one where the rounds were too few for any."""
    if not found:
        return ""
    sentence = f"{found['sentence'].rstrip('.')}."
    wanted = fewest_rounds(len(found["verdicts"]) + 1)
    if not found["verdicts"] or comparison.rounds >= wanted or comparison.imported_at is not None:
        return sentence
    return f"{sentence} For a verdict take --rounds {wanted}, or --preset quick."


def _failed_checks(found: Figures) -> Iterator[str]:
    """Yield why verdicts are withheld, unless the verdict's sentence says it already."""
    for badge in (found.get("gate") or {"badges": ()})["badges"]:
        if badge["matters"] and not badge["passed"] and badge["reason"].rstrip(".") not in found["sentence"]:
            yield f"Check failed, “{badge['title']}”: {badge['reason']}"


def _advice(found: Figures) -> str:
    advice = found.get("advice")
    if not advice:
        return ""
    head = f"Advice, {_ground(found, advice)}: {advice['pool']} with {count(advice['slots'], 'slot')}"
    return f"{wrapped(head)}\n{wrapped(advice['text'], indent='  ')}"


def _ground(found: Figures, advice: Figures) -> str:
    """Return what kind of evidence the advice has."""
    if advice.get("proven"):
        return "as measured"
    if is_knee(found, advice["pool"], advice["slots"]):
        return "slots as measured" + ", pool by the job's nature" * (len(found["pools"]) > 1)
    return "by the job's nature"
