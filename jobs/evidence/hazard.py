"""What a comparison of a hazard taught: its lesson in the figures that its own jobs returned, and these as a table."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from django_celery_results.models import TaskResult

from jobs import definitions
from jobs.errors import UnknownDefinition
from jobs.evidence.report import Harm
from jobs.models import Block, Comparison, Job, State

#: The newest results of each arm that are read; each is some hundred bytes.
_RESULTS_OF_AN_ARM = 100

type Results = Mapping[str, Sequence[Mapping[str, Any]]]


def told(comparison: Comparison) -> tuple[str, Harm | None]:
    """Return the lesson, and the harm as a table with a row an arm; neither of a comparison of another job."""
    try:
        definition = definitions.get(comparison.definition)
    except UnknownDefinition:
        return "", None
    if definition.kind != "hazard":
        return "", None
    from jobs.catalog.hazards import lessons  # its jobs are declared through the backend, which submits

    results = _results(comparison)
    lesson = lessons.lesson(definition.name, [one for found in results.values() for one in found])
    return lesson or _of_the_docstring(definition.description), harm(definition.name, results)


def _of_the_docstring(text: str) -> str:
    return " ".join(text.partition("Lesson:")[2].split("\n\n")[0].split())


def _results(comparison: Comparison) -> dict[str, list[dict[str, Any]]]:
    """Return what the jobs returned, by arm in the order of the blocks."""
    blocks = comparison.blocks.filter(role=Block.Role.MEASURED, void_reason="").order_by("round", "position")
    by_arm: dict[str, list[int]] = {}
    for block in blocks.defer("probe"):
        by_arm.setdefault(block.arm, []).append(block.pk)
    return {arm: _results_of(ids) for arm, ids in by_arm.items()}


def _results_of(blocks: Sequence[int]) -> list[dict[str, Any]]:
    ended = Job.objects.filter(block__in=blocks, state=State.SUCCEEDED).order_by("-finished_at")
    ids = [str(pk) for pk in ended.values_list("pk", flat=True)[:_RESULTS_OF_AN_ARM]]
    texts = TaskResult.objects.filter(task_id__in=ids).values_list("result", flat=True)
    return [result for text in texts if text and isinstance(result := json.loads(text), dict)]


def harm(name: str, results: Results) -> Harm | None:
    """Return head and rows: of each arm's results the medians; None where the results are of other code."""
    from jobs.catalog.hazards import tables
    from jobs.catalog.hazards.variants import VARIANT

    if name not in VARIANT:
        return None
    rows: list[list[str]] = []
    head: list[str] = []
    try:
        for arm, found in results.items():
            if found:
                headings, *lines = tables.table(name, [tables.merged(found)])
                head = ["", *headings[1:]]
                rows += [[arm, *line[1:]] for line in lines]
    except (KeyError, TypeError, ValueError, IndexError):
        return None
    return Harm(head=head, rows=rows) if rows else None
