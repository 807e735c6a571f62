"""Reports: figures, validity checks and answer of a comparison, built once and stored. docs/report.md.

Read `model` (the report), `build`, `facts` and `runs` (the input), `pools` and `figures`, `pairs`, `sweep`, `lesson`.
"""

from poolwise.lab.report.background import ReportBuilder
from poolwise.lab.report.build import build, figures, freeze, load
from poolwise.lab.report.figures import BatchFigures, VariantFigures
from poolwise.lab.report.lesson import lesson_and_results
from poolwise.lab.report.model import (
    CANNOT_TELL,
    EQUALLY_FAST,
    FASTER,
    SLOWER,
    Answer,
    Pair,
    Report,
    ResultsTable,
    Standing,
    SweepPoint,
    ValidityCheck,
)
from poolwise.lab.report.samples import IMPORTED_SAMPLES, SAMPLE_COLUMNS, Sample, samples

__all__ = [
    "CANNOT_TELL",
    "EQUALLY_FAST",
    "FASTER",
    "IMPORTED_SAMPLES",
    "SAMPLE_COLUMNS",
    "SLOWER",
    "Answer",
    "BatchFigures",
    "Pair",
    "Report",
    "ReportBuilder",
    "ResultsTable",
    "Sample",
    "Standing",
    "SweepPoint",
    "ValidityCheck",
    "VariantFigures",
    "build",
    "figures",
    "freeze",
    "lesson_and_results",
    "load",
    "samples",
]
