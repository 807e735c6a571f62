"""Pins in the admin: the pool that a definition runs on when it is submitted to `auto`."""

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet
from django.http import HttpRequest

from poolwise.admin.base import ShortList
from poolwise.definitions import all_definitions
from poolwise.models import PinnedDefinition, audit
from poolwise.pools import all_pools

if TYPE_CHECKING:  # the stubs' classes are generic, Django's are not
    _ModelForm = forms.ModelForm[PinnedDefinition]
    _ModelAdmin = admin.ModelAdmin[PinnedDefinition]
else:
    _ModelForm, _ModelAdmin = forms.ModelForm, admin.ModelAdmin


class PinForm(_ModelForm):
    """A definition and the pool to pin it to."""

    definition = forms.ChoiceField(help_text="Its jobs that are submitted to auto go to the pool below.")
    pool = forms.ChoiceField()

    class Meta:
        model = PinnedDefinition
        fields = ("definition", "pool", "reason")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        known = {
            "definition": [definition.name for definition in all_definitions()],
            "pool": list(all_pools()),
        }
        for name in self.fields.keys() & known.keys():  # the definition of a stored pin is read-only
            choices = [("", "---------"), *((value, value) for value in known[name])]
            self.fields[name].choices = choices  # type: ignore[attr-defined]


@admin.register(PinnedDefinition)
class PinnedDefinitionAdmin(_ModelAdmin):
    """The pins: where `auto` runs a definition."""

    form = PinForm
    list_display = ("definition", "pool", "reason")
    ordering = ("definition",)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        """Return the list that refuses text that the database cannot store."""
        return ShortList

    def save_model(self, request: HttpRequest, obj: PinnedDefinition, form: Any, change: bool) -> None:
        """Store a pin and add an audit entry."""
        super().save_model(request, obj, form, change)
        user: Any = request.user
        audit.record("pin", f"definition {obj.definition}", user=user, reason=obj.reason, pool=obj.pool)

    def delete_model(self, request: HttpRequest, obj: PinnedDefinition) -> None:
        """Delete a pin and add an audit entry."""
        _record_unpin(request, obj)
        super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[PinnedDefinition]) -> None:
        """Delete pins and add an audit entry for each."""
        for pin in queryset:
            _record_unpin(request, pin)
        super().delete_queryset(request, queryset)

    def get_readonly_fields(
        self, request: HttpRequest, obj: PinnedDefinition | None = None
    ) -> tuple[str, ...]:
        """Return the definition for a stored pin: it is the primary key."""
        return ("definition",) if obj else ()


def _record_unpin(request: HttpRequest, pin: PinnedDefinition) -> None:
    user: Any = request.user
    audit.record("unpin", f"definition {pin.definition}", user=user, reason=pin.reason, pool=pin.pool)
