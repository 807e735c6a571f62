"""What the viewers share: nothing can be changed, and no list counts or skips without a bound."""

import json
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import capfirst

from jobs.formats import is_storable

if TYPE_CHECKING:  # the stubs' classes are generic, Django's are not
    _Paginator = Paginator[Any]
    _ModelAdmin = admin.ModelAdmin[Any]
else:
    _Paginator, _ModelAdmin = Paginator, admin.ModelAdmin

#: A list's pages reach so many rows deep: skipping rows costs the database as much as reading them.
COUNT_BOUND = 10_000


class BoundedPaginator(_Paginator):
    """Counts up to a bound and offers the pages within it."""

    @cached_property
    def count(self) -> int:
        """Return the number of rows, or the bound when there are more."""
        # Ordering is of no use to a count, and could keep it from the index that answers it.
        rows = cast("QuerySet[Any]", self.object_list).order_by()
        return rows[:COUNT_BOUND].count()


class BoundedChangeList(ChangeList):
    """A list that knows whether its count hit the bound."""

    def get_filters(self, request: HttpRequest) -> Any:
        """Return the filters and lookups. Raise IncorrectLookupParameters for a text that no row can hold."""
        found = super().get_filters(request)
        given = [text for name in found[2] for text in self.filter_params.get(name, ())]
        # PostgreSQL's driver raises, but only once rows are read.
        if not all(map(is_storable, given)):
            raise IncorrectLookupParameters
        return found

    @property
    def is_capped(self) -> bool:
        """Return whether there may be more rows than the pages reach."""
        return bool(self.result_count >= COUNT_BOUND)


class Viewer(_ModelAdmin):
    """A read-only admin of a table that may be large."""

    actions_on_top = True
    list_per_page = 50
    list_max_show_all = 0
    paginator = BoundedPaginator
    show_facets = admin.ShowFacets.NEVER
    show_full_result_count = False
    sortable_by = ()
    empty_value_display = "–"

    class Media:
        css = {"all": ("jobs/admin.css",)}

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        """Return the list with a bounded count."""
        return BoundedChangeList

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the list, titled by what it lists."""
        title = capfirst(str(self.opts.verbose_name_plural))
        return super().changelist_view(request, {"title": title, **(extra_context or {})})

    def details(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        """Return what the page of one row shows beside its fields."""
        return {}

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show one row."""
        row = self.get_object(request, object_id)
        context = {**(self.details(request, row) if row else {}), **(extra_context or {})}
        return super().change_view(request, object_id, form_url, context)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Return that rows come from the platform alone."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: object | None = None) -> bool:
        """Return that rows change by the platform alone."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object | None = None) -> bool:
        """Return that rows go by the platform alone."""
        return False


def pretty(value: Any) -> str:
    """Return a JSON value, or the text of one, as indented JSON; other text as it is."""
    try:
        value = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return str(value)
    return json.dumps(value, ensure_ascii=False, indent=2)


def badge(kind: str, text: str) -> SafeString:
    """Return a state as a coloured word."""
    return format_html('<span class="pw-badge pw-{}">{}</span>', kind, text)
