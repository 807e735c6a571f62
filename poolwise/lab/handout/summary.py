"""The report as a few lines of Markdown, for a pull request."""

import re
from collections.abc import Iterator

from poolwise.lab import bundle
from poolwise.lab.handout.rows import VariantRow, effect_of, failed_checks, setup, variant_rows
from poolwise.lab.handout.tables import environment_lines
from poolwise.lab.report import Answer, Report
from poolwise.models import Comparison
from poolwise.support import count, parameters

_MAX_ROWS, _MAX_CHECKS = 6, 3
_MAX_COMMAND_CHARS = 2_000
_ENVIRONMENT = ("cpu_model", "cores", "python", "code")
#: What Markdown reads as markup; an underscore within a word is none.
_MARKUP = re.compile(r"[\\`*{}\[\]<>|~#&$]|(?<!\w)_|_(?!\w)")
#: What sites turn into mentions, references and links even where Markdown does not.
_LINKED = re.compile(r"@|\\#|:(?=//)|\bwww(?=\.)", re.IGNORECASE)


def markdown(comparison: Comparison, report: Report) -> str:
    """Return the answer, a table of the variants, failed checks and the command, as Markdown that ends with a newline."""
    blocks = [
        [f"### Poolwise: which {'variant' if report.vary else 'pool'} fits {escaped(comparison.definition)}"],
        [f"**{escaped(report.answer.text)}** {escaped(_more(report.answer))}".strip()],
        list(_table(report)),
        list(_checks(report)),
        [_run(comparison, report)],
        list(_command(comparison, report)),
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def _more(answer: Answer) -> str:
    """Return what would settle the answer, and what kind of job it is."""
    return " ".join(filter(None, [answer.next_step, answer.why]))


def _table(report: Report) -> Iterator[str]:
    rows = variant_rows(report)
    yield f"| {'Variant' if report.vary else 'Pool'} | Time per job | 95 % interval | Role | Jobs/s | Memory per slot |"
    yield "| --- | --: | --: | --- | --: | --: |"
    yield from map(_row, rows[:_MAX_ROWS])
    if len(rows) > _MAX_ROWS:
        yield f"| and {len(rows) - _MAX_ROWS} more | | | | | |"


def _row(row: VariantRow) -> str:
    name = f"**{escaped(row.name)}**" if row.is_recommended else escaped(row.name)
    cells = [name, row.time, row.interval, escaped(row.role), row.jobs_per_s, row.memory_per_slot]
    return f"| {' | '.join(cells)} |"


def _checks(report: Report) -> Iterator[str]:
    failed = failed_checks(report)
    for check in failed[:_MAX_CHECKS]:
        yield f"- Failed check “{escaped(check.title)}” ({escaped(effect_of(check))}): {escaped(check.reason)}"
    if len(failed) > _MAX_CHECKS:
        yield f"- and {count(len(failed) - _MAX_CHECKS, 'more failed check')}"


def _run(comparison: Comparison, report: Report) -> str:
    card = report.environment or comparison.environment
    lines = environment_lines({key: card[key] for key in _ENVIRONMENT if key in card})
    where = [f"{label} {value}" for label, value in lines]
    params = parameters(comparison.shown_params)
    return " · ".join(
        [*([code(params)] if params else []), escaped(" · ".join([setup(comparison, report), *where]))]
    )


def _command(comparison: Comparison, report: Report) -> Iterator[str]:
    command = bundle.command(comparison, report)
    if len(command) > _MAX_COMMAND_CHARS:
        yield f"The command that repeats it is longer than {_MAX_COMMAND_CHARS:,} characters; the result bundle has it."
        return
    fence = "`" * max(3, _longest_run(command) + 1)
    yield from (f"{fence}sh", command, fence)


def escaped(text: str) -> str:
    """Return a text on one line, without effect as Markdown, as HTML, or as a cell of a table."""
    literal = _MARKUP.sub(r"\\\g<0>", " ".join(text.split()))
    return _LINKED.sub(r"\g<0><!-- -->", literal)


def code(text: str) -> str:
    """Return a text as a code span, which may contain backticks."""
    ticks = "`" * (_longest_run(text) + 1)
    room = " " if "`" in text else ""
    return f"{ticks}{room}{' '.join(text.split())}{room}{ticks}"


def _longest_run(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)
