"""Evidence: a comparison's figures, gate, verdict and advice, built from the ledger and frozen. docs/evidence.md."""

from jobs.evidence.build import IMPORTED_SAMPLES, SAMPLE_COLUMNS, build, freeze, samples
from jobs.evidence.hazard import told
from jobs.evidence.judge import Judge

__all__ = [
    "IMPORTED_SAMPLES",
    "SAMPLE_COLUMNS",
    "Judge",
    "build",
    "freeze",
    "samples",
    "told",
]
