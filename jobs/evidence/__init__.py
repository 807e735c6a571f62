"""Reports: a comparison's figures, validity checks, verdict and advice, built from the ledger and frozen. docs/report.md."""

from jobs.evidence.build import build, figures, freeze, load
from jobs.evidence.figures import BatchFigures, VariantFigures
from jobs.evidence.hazard import lesson_and_results
from jobs.evidence.judge import ReportBuilder
from jobs.evidence.report import Advice, Report, ResultsTable, SweepPoint, ValidityCheck
from jobs.evidence.samples import IMPORTED_SAMPLES, SAMPLE_COLUMNS, Sample, samples

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
