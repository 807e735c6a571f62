"""Evidence: a comparison's figures, gate, verdict and advice, built from the ledger and frozen. docs/evidence.md."""

from jobs.evidence.build import build, figures, freeze, load
from jobs.evidence.figures import BatchFigures, VariantFigures
from jobs.evidence.hazard import told
from jobs.evidence.judge import Judge
from jobs.evidence.report import Advice, Badge, Evidence, Harm, SweepPoint
from jobs.evidence.samples import IMPORTED_SAMPLES, SAMPLE_COLUMNS, Sample, samples

__all__ = [
    "IMPORTED_SAMPLES",
    "SAMPLE_COLUMNS",
    "Advice",
    "Badge",
    "BatchFigures",
    "Evidence",
    "Harm",
    "Judge",
    "Sample",
    "SweepPoint",
    "VariantFigures",
    "build",
    "figures",
    "freeze",
    "load",
    "samples",
    "told",
]
