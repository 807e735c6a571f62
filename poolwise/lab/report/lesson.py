"""The lesson of a job, with the results of its variants as sentences and as a table.

A job declares its lesson: `@job(lesson=Lesson(…))`.
"""

import json
from collections.abc import Mapping, Sequence
from statistics import median_low
from typing import Any

from django_celery_results.models import TaskResult

from poolwise import definitions
from poolwise.definitions import Definition
from poolwise.lab.report.model import ResultsTable
from poolwise.models import Batch, Comparison, Job, JobState
from poolwise.support import UnknownDefinition

#: How many of the newest results of each variant are read; each is some hundred bytes.
_RESULTS_PER_VARIANT = 100

#: Errors of results that lack a figure, because another version of the job returned them.
_OTHER_VERSION = (KeyError, TypeError, ValueError, ZeroDivisionError, IndexError)

type Results = Sequence[Mapping[str, Any]]


def with_lessons() -> list[Definition]:
    """Return the definitions that declare a lesson."""
    return [definition for definition in definitions.all_definitions() if definition.lesson is not None]


def variants(definition: Definition) -> tuple[Any, ...]:
    """Return the values of the parameter that chooses the variant; none without a lesson."""
    chooser = definition.lesson.parameter if definition.lesson else ""
    return next((field.choices for field in definition.fields if field.name == chooser), ())


def lesson(definition: Definition, results: Results) -> str:
    """Return the lesson in one to three sentences, from the results of any variants.

    Several results of a variant are combined. Empty without a lesson, without results, and for results of another
    version of the job, which lack a figure.
    """
    if definition.lesson is None or not results:
        return ""
    try:
        groups: dict[Any, list[Mapping[str, Any]]] = {}
        for result in results:
            groups.setdefault(result[definition.lesson.parameter], []).append(result)
        return " ".join(filter(None, definition.lesson.sentences(groups)))
    except _OTHER_VERSION:
        return ""


def merged(results: Results) -> dict[str, Any]:
    """Combine several results of a variant: medians of numbers, the first of other values."""
    merged_result: dict[str, Any] = {}
    for key, value in results[0].items():
        values = [result[key] for result in results]
        if isinstance(value, list):
            merged_result[key] = [merged(parts) for parts in zip(*values, strict=True)]
        elif isinstance(value, int | float) and not isinstance(value, bool):
            merged_result[key] = median_low(values)  # the median is one of the values: integers stay integers
        else:
            merged_result[key] = value
    return merged_result


def table(definition: Definition, results: Results) -> list[tuple[str, ...]]:
    """Return the headings and then a row for each result; a result with several `sizes` has a row for each.

    Empty without a lesson. Raise KeyError for a result that lacks a figure.
    """
    if definition.lesson is None:
        return []
    variant, columns = definition.lesson.parameter, definition.lesson.columns
    rows: list[tuple[str, ...]] = [(variant, *columns)]
    for result in results:
        for line in result.get("sizes", [result]):
            rows.append((str(result[variant]), *(cell(line[key]) for key, cell in columns.values())))
    return rows


def lesson_and_results(comparison: Comparison) -> tuple[str, ResultsTable | None]:
    """Return the lesson and the table of results, one row per variant; nothing for a job without a lesson."""
    try:
        definition = definitions.get(comparison.definition)
    except UnknownDefinition:
        return "", None
    if definition.lesson is None and definition.kind != "hazard":
        return "", None
    results = _results(comparison)
    text = lesson(definition, [result for of_variant in results.values() for result in of_variant])
    return text or _from_docstring(definition.description), results_table(definition, results)


def _from_docstring(text: str) -> str:
    return " ".join(text.partition("Lesson:")[2].split("\n\n")[0].split())


def _results(comparison: Comparison) -> dict[str, list[dict[str, Any]]]:
    """Return the results of the jobs by variant, in the order of the batches."""
    batches = comparison.batches.filter(role=Batch.Role.MEASURED, void_reason="").order_by(
        "round", "position"
    )
    by_variant: dict[str, list[int]] = {}
    for batch in batches.defer("probe"):
        by_variant.setdefault(batch.variant, []).append(batch.pk)
    return {variant: _results_of(ids) for variant, ids in by_variant.items()}


def _results_of(batches: Sequence[int]) -> list[dict[str, Any]]:
    ended = Job.objects.filter(batch__in=batches, state=JobState.SUCCEEDED).order_by("-finished_at")
    ids = [str(pk) for pk in ended.values_list("pk", flat=True)[:_RESULTS_PER_VARIANT]]
    texts = TaskResult.objects.filter(task_id__in=ids).values_list("result", flat=True)
    return [result for text in texts if text and isinstance(result := json.loads(text), dict)]


def results_table(definition: Definition, results: Mapping[str, Results]) -> ResultsTable | None:
    """Return headings and rows: the medians of each variant; None for results of another version of the job."""
    rows: list[list[str]] = []
    head: list[str] = []
    try:
        for variant, of_variant in results.items():
            if of_variant and (lines := table(definition, [merged(of_variant)])):
                head = ["", *lines[0][1:]]
                rows += [[variant, *line[1:]] for line in lines[1:]]
    except _OTHER_VERSION:
        return None
    return ResultsTable(head=head, rows=rows) if rows else None
