"""Charts: what they share, those of the dashboard, and Vega's JavaScript.

Its modules are imported where a chart is made: every process reads the addresses of the pages, and Altair is heavy.
"""

__all__ = [
    "common",
    "dashboard",
    "export",
    "vega",
]
