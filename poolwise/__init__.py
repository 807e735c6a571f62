"""Poolwise's Django app."""

import os

# One thread for each NumPy product: its CPU time then is the job's own, and jobs do not fight over the cores.
# BLAS reads it once, when NumPy is first imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
