"""What a comparison came to, for a terminal: its tables, then the verdict and the advice."""

import re
import shutil
import textwrap
from collections.abc import Iterator
from typing import Any

from jobs import evidence
from jobs.evidence import Advice, Evidence, Harm
from jobs.formats import count
from jobs.management.text_table import aligned, comparison_table, sweep_table
from jobs.models import Comparison
from jobs.verdicts import fewest_rounds

#: Longer lines are hard to read, however wide the terminal is.
_MAX_TEXT_CHARS = 100
_AFTER_NUMBER = re.compile(r"(?<=\d) (?=\S)")
#: What `--json` has of the comparison, of each pool, and of the evidence.
_ASKED = ("definition", "copies", "rounds")
_NOT_OF_A_POOL = {"blocks", "time", "overhead_s", "stall", "peak_memory_bytes"}
_EVIDENCE_KEYS = ("verdicts", "gate", "advice", "sweep")


def as_json(comparison: Comparison) -> dict[str, Any]:
    """Return the figures with the verdicts, the gate, the advice and the sweep; null where there is no evidence."""
    found = comparison.evidence or {}
    pools = evidence.figures(comparison)
    return {
        **{name: getattr(comparison, name) for name in _ASKED},
        "params": comparison.shown_params,
        "pools": [pool.model_dump(mode="json", exclude=_NOT_OF_A_POOL) for pool in pools],
        **{key: found.get(key) for key in _EVIDENCE_KEYS},
    }


def comparison_text(comparison: Comparison) -> str:
    """Return all that there is to tell; the advice comes last, where a terminal is read first."""
    found = evidence.load(comparison)
    if found is None:
        return comparison_table(comparison, evidence.figures(comparison))
    swept = found.sweep or {}
    tables = [
        sweep_table(swept) if swept else "",
        comparison_table(comparison, found.pools, at_most_slots=bool(swept)),
    ]
    verdict = map(wrapped, [_verdict(comparison, found), *_failed_checks(found)])
    lesson = [_harm(found.harm), wrapped(found.lesson)]
    return "\n\n".join(filter(None, [*tables, *verdict, *lesson, _advice(found)]))


def wrapped(text: str, indent: str = "") -> str:
    """Return a text in lines that fit the terminal; a number stays with its unit."""
    width = min(shutil.get_terminal_size().columns, _MAX_TEXT_CHARS)
    kept = _AFTER_NUMBER.sub("\N{NO-BREAK SPACE}", text)
    how: dict[str, Any] = {"break_long_words": False, "break_on_hyphens": False}
    lines = textwrap.wrap(kept, width, initial_indent=indent, subsequent_indent=indent, **how)
    return "\n".join(lines).replace("\N{NO-BREAK SPACE}", " ")


def _harm(harm: Harm | None) -> str:
    """Return what the jobs of a hazard returned, as a table."""
    return "\n".join(aligned([harm.head, *harm.rows])) if harm else ""


def _verdict(comparison: Comparison, found: Evidence) -> str:
    """Return the verdict, and how to get one where the rounds were too few for any."""
    sentence = f"{found.sentence.rstrip('.')}."
    wanted = fewest_rounds(len(found.verdicts) + 1)
    if not found.verdicts or comparison.rounds >= wanted or comparison.imported_at is not None:
        return sentence
    return f"{sentence} For a verdict take --rounds {wanted}, or --preset quick."


def _failed_checks(found: Evidence) -> Iterator[str]:
    """Yield why verdicts are withheld, unless the verdict's sentence says it already."""
    for badge in found.gate.badges:
        if badge.withholds and badge.reason.rstrip(".") not in found.sentence:
            yield f"Check failed, “{badge.title}”: {badge.reason}"


def _advice(found: Evidence) -> str:
    advice = found.advice
    if advice is None:
        return ""
    head = f"Advice, {_ground(found, advice)}: {advice.pool} with {count(advice.slots, 'slot')}"
    return f"{wrapped(head)}\n{wrapped(advice.text, indent='  ')}"


def _ground(found: Evidence, advice: Advice) -> str:
    """Return what kind of evidence the advice has."""
    if advice.proven:
        return "as measured"
    if found.has_knee(advice.pool, advice.slots):
        return "slots as measured" + ", pool by the job's nature" * (len(found.pools) > 1)
    return "by the job's nature"
