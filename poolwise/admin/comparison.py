"""Comparisons in the admin: a list that links to their pages."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from poolwise.admin.base import PageViewer, state_label
from poolwise.models import Comparison
from poolwise.support import parameters

_LABEL_KINDS = {"planned": "queued", "running": "running", "finished": "succeeded", "cancelled": "cancelled"}


@admin.register(Comparison)
class ComparisonAdmin(PageViewer):
    """Comparisons, newest first."""

    list_display = ("definition", "state_cell", "params_line", "copies", "rounds", "user", "created_at")
    list_select_related = ("user",)
    search_fields = ("definition__startswith",)
    search_help_text = "The beginning of a definition's name."
    ordering = ("-created_at", "-id")
    fields = ("id",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Comparison]:
        """Return the comparisons without the columns that a list does not show."""
        comparisons: QuerySet[Comparison] = super().get_queryset(request)
        return comparisons.defer("environment", "report")

    @admin.display(description="State")
    def state_cell(self, comparison: Comparison) -> str:
        """Return the state as a coloured label."""
        return state_label(_LABEL_KINDS[comparison.state], comparison.get_state_display())

    @admin.display(description="Parameters")
    def params_line(self, comparison: Comparison) -> str:
        """Return the parameters as one line."""
        return parameters(comparison.shown_params)
