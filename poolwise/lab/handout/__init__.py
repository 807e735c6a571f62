"""A comparison's report for people outside the site: one HTML file, and a summary in Markdown. docs/report.md.

In reading order: `rows`, `tables`, `pictures`, `page`, `summary`.
"""

from poolwise.lab.handout.page import html
from poolwise.lab.handout.summary import markdown
from poolwise.lab.handout.tables import environment_lines, figures_table

__all__ = ["environment_lines", "figures_table", "html", "markdown"]
