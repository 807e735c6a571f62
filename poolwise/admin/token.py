"""API tokens in the admin: made there, shown once, revoked, never read again."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from poolwise.admin.base import Viewer, badge
from poolwise.control import tokens
from poolwise.models import ApiToken


class TokenForm(forms.ModelForm):  # type: ignore[type-arg]
    """Whose token it is, and what for."""

    class Meta:
        model = ApiToken
        fields = ("user", "name")


@admin.register(ApiToken)
class ApiTokenAdmin(Viewer):
    """Tokens; the text of a new one is shown once."""

    form = TokenForm
    list_display = ("name", "user", "state", "created_at", "last_used_at")
    list_display_links = None
    list_select_related = ("user",)
    ordering = ("-created_at", "-id")
    actions = ("revoke",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Return whether the user may make tokens."""
        return request.user.has_perm("poolwise.add_apitoken")

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        """Return whether the user may revoke tokens."""
        # A revoked token stays in the list and is ended all the same: nothing of it is ever changed.
        return request.user.has_perm("poolwise.delete_apitoken")

    def save_model(self, request: HttpRequest, obj: ApiToken, form: Any, change: bool) -> None:
        """Make the token, and show its text this once."""
        user: Any = request.user
        made, text = tokens.create(obj.user, obj.name, by=user)
        obj.pk, obj.digest = made.pk, made.digest
        message = f"The token is shown this once, copy it now: {text}"
        self.message_user(request, message, messages.WARNING)

    @admin.action(permissions=["revoke"], description="Revoke")
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiToken]) -> None:
        """End the chosen tokens."""
        user: Any = request.user
        ended = sum(tokens.revoke(token, by=user) for token in queryset.select_related("user"))
        self.message_user(request, f"{ended} revoked.", messages.SUCCESS)

    @admin.display(description="State")
    def state(self, token: ApiToken) -> str:
        """Return whether it is valid."""
        return badge("cancelled", "Revoked") if token.revoked_at else badge("succeeded", "Valid")
