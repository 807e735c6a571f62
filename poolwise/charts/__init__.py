"""Charts: what they share (`common`), those of the `dashboard`, `export` to SVG and PNG, and `vega`'s JavaScript.

Import the modules where a chart is made: every process imports this package with the URLs, and Altair is slow to load.
"""

__all__ = ["common", "dashboard", "export", "vega"]
