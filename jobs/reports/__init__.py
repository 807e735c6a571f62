"""Reports: the only reader of many rows."""

from jobs.reports.figures import block_figures, comparison_figures, pool_figures

__all__ = ["block_figures", "comparison_figures", "pool_figures"]
