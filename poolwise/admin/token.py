"""API tokens in the admin: created, shown once, revoked."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from poolwise.admin.base import Viewer, state_label
from poolwise.control import tokens
from poolwise.models import ApiToken


class TokenForm(forms.ModelForm):  # type: ignore[type-arg]
    """The user and the purpose of a token."""

    class Meta:
        model = ApiToken
        fields = ("user", "name")


@admin.register(ApiToken)
class ApiTokenAdmin(Viewer):
    """Tokens; a new one is shown once."""

    form = TokenForm
    list_display = ("name", "user", "state", "created_at", "last_used_at")
    list_display_links = None
    list_select_related = ("user",)
    ordering = ("-created_at", "-id")
    actions = ("revoke",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Return whether the user may create tokens."""
        return request.user.has_perm("poolwise.add_apitoken")

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        """Return whether the user may revoke tokens."""
        # Revoking takes the permission to delete: a revoked token is useless, though it stays in the list.
        return request.user.has_perm("poolwise.delete_apitoken")

    def save_model(self, request: HttpRequest, obj: ApiToken, form: Any, change: bool) -> None:
        """Create the token and show it once."""
        user: Any = request.user
        made, text = tokens.create(obj.user, obj.name, by=user)
        obj.pk, obj.digest = made.pk, made.digest
        message = f"Copy the token now, it is not shown again: {text}"
        self.message_user(request, message, messages.WARNING)

    @admin.action(permissions=["revoke"], description="Revoke")
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiToken]) -> None:
        """Revoke the chosen tokens."""
        user: Any = request.user
        revoked = sum(tokens.revoke(token, by=user) for token in queryset.select_related("user"))
        self.message_user(request, f"{revoked} revoked.", messages.SUCCESS)

    @admin.display(description="State")
    def state(self, token: ApiToken) -> str:
        """Return whether it is valid."""
        return state_label("cancelled", "Revoked") if token.revoked_at else state_label("succeeded", "Valid")
