"""Comparisons in the admin: what was compared and what each pool came to."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from jobs import evidence
from jobs.admin.base import Viewer, badge, pretty
from jobs.formats import parameters, shown
from jobs.models import Comparison

_BADGES = {"planned": "queued", "running": "running", "finished": "succeeded", "cancelled": "cancelled"}


@admin.register(Comparison)
class ComparisonAdmin(Viewer):
    """Comparisons, newest first."""

    list_display = ("definition", "state_badge", "params_line", "copies", "rounds", "user", "created_at")
    list_select_related = ("user",)
    search_fields = ("definition__startswith",)
    search_help_text = "The beginning of a definition's name."
    ordering = ("-created_at", "-id")
    fields = ("id",)

    @admin.display(description="State")
    def state_badge(self, comparison: Comparison) -> str:
        """Return the state as a coloured word."""
        return badge(_BADGES[comparison.state], comparison.get_state_display())

    @admin.display(description="Parameters")
    def params_line(self, comparison: Comparison) -> str:
        """Return the parameters as one line."""
        return parameters(comparison.shown_params)

    def details(self, request: HttpRequest, row: Comparison) -> dict[str, Any]:
        """Return the pools of one comparison in figures, and its blocks."""
        return _details(row)


def _details(comparison: Comparison) -> dict[str, Any]:
    blocks = list(comparison.blocks.order_by("position"))
    return {
        "params": pretty({name: shown(value) for name, value in comparison.shown_params.items()}),
        "pools": evidence.figures(comparison),
        "blocks": blocks,
    }
