"""The audit log in the admin: read, filtered, never changed."""

from datetime import UTC, timedelta
from typing import Any

from django.contrib import admin
from django.contrib.admin import SimpleListFilter
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from poolwise.admin.base import Viewer
from poolwise.admin.filters import Choices, ExactFilter
from poolwise.models import AuditEntry

ACTIONS = ("pause", "resume", "drain", "purge", "pin", "unpin", "cancel", "create token", "revoke token")


class ActionFilter(ExactFilter):
    """Entries of one action."""

    title, parameter_name = "action", "action"

    def lookups(self, request: HttpRequest, model_admin: "admin.ModelAdmin[Any]") -> Choices:
        """Return the actions that the audit log records."""
        return [(action, action.capitalize()) for action in ACTIONS]


class TimeFilter(SimpleListFilter):
    """Entries of the last day, week or month."""

    title, parameter_name = "time", "within_days"

    def lookups(self, request: HttpRequest, model_admin: "admin.ModelAdmin[Any]") -> Choices:
        """Return the periods."""
        return [("1", "Last 24 hours"), ("7", "Last 7 days"), ("30", "Last 30 days")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the entries of the period, or all."""
        days = self.value()
        if days not in ("1", "7", "30"):
            return queryset
        return queryset.filter(at__gte=timezone.now() - timedelta(days=int(days)))


@admin.register(AuditEntry)
class AuditEntryAdmin(Viewer):
    """Who did what, to what, and why; newest first."""

    list_display = ("when", "action", "target", "who", "reason", "details_line")
    list_display_links = None
    list_filter = (ActionFilter, TimeFilter)
    search_fields = ("target", "username__startswith", "reason")
    search_help_text = "Part of a target or a reason, or the beginning of a user's name."
    ordering = ("-at", "-id")

    @admin.display(description="Time, UTC")
    def when(self, entry: AuditEntry) -> str:
        """Return the moment, to the second."""
        return f"{entry.at.astimezone(UTC):%Y-%m-%d %H:%M:%S}"

    @admin.display(description="Who")
    def who(self, entry: AuditEntry) -> str:
        """Return the user, or the account that ran the command."""
        account = entry.details.get("account", "")
        return entry.username or f"command{f' by {account}' if account else ''}"

    @admin.display(description="Details")
    def details_line(self, entry: AuditEntry) -> str:
        """Return the details as one line."""
        shown = {key: value for key, value in entry.details.items() if key not in ("account", "by")}
        return ", ".join(f"{key}: {value}" for key, value in shown.items()) or "–"
