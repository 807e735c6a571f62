"""Evidence: a comparison's figures, gate, verdict and advice, built from the ledger and frozen. docs/evidence.md."""

from jobs.evidence.build import SAMPLE_COLUMNS, build, freeze, samples

__all__ = ["SAMPLE_COLUMNS", "build", "freeze", "samples"]
