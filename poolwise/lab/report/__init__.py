"""Reports: figures, validity checks, verdict and advice of a comparison, built once and stored. docs/report.md.

Read `model` (the report), `build`, `facts` and `runs` (the input), `pools` and `figures`, `verdict`, `sweep`, `lesson`.
"""

from poolwise.lab.report.background import ReportBuilder
from poolwise.lab.report.build import build, figures, freeze, load
from poolwise.lab.report.figures import BatchFigures, VariantFigures
from poolwise.lab.report.lesson import lesson_and_results
from poolwise.lab.report.model import Advice, Report, ResultsTable, SweepPoint, ValidityCheck
from poolwise.lab.report.samples import IMPORTED_SAMPLES, SAMPLE_COLUMNS, Sample, samples

__all__ = [
    "IMPORTED_SAMPLES",
    "SAMPLE_COLUMNS",
    "Advice",
    "BatchFigures",
    "Report",
    "ReportBuilder",
    "ResultsTable",
    "Sample",
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
