"""What the viewers share: nothing can be changed, and no list counts or skips without a bound."""

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import PAGE_VAR, ChangeList
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import capfirst

from poolwise.reports import paging
from poolwise.support import is_storable

if TYPE_CHECKING:  # the stubs' class is generic, Django's is not
    _ModelAdmin = admin.ModelAdmin[Any]
else:
    _ModelAdmin = admin.ModelAdmin


class ShortList(ChangeList):
    """A list of a table that stays small."""

    def get_filters(self, request: HttpRequest) -> Any:
        """Return the filters and lookups. Raise IncorrectLookupParameters for a text that no row can hold."""
        filters = super().get_filters(request)
        given = [text for name in filters[2] for text in self.filter_params.get(name, ())]
        # PostgreSQL's driver raises, but only once rows are read.
        if not all(map(is_storable, given)):
            raise IncorrectLookupParameters
        return filters


class LongList(ShortList):
    """A list that goes from page to page by cursor, newest first; its admin's first ordering is the moment."""

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[Any]:
        """Return the one order that the cursors follow."""
        return list(self.model_admin.get_ordering(request))

    def get_results(self, request: HttpRequest) -> None:
        """Read the page that the address asks for, `?p=before-<cursor>` or `?p=after-<cursor>`."""
        way, _, cursor = request.GET.get(PAGE_VAR, "").partition("-")
        moment = self.get_ordering(request, self.queryset)[0].removeprefix("-")
        self.page = paging.page_of(self.queryset, {way: cursor}, moment=moment)
        self.result_list = self.page.rows
        self.result_count = paging.bounded_count(self.queryset)
        self.is_capped = self.result_count >= paging.COUNT_LIMIT
        self.full_result_count, self.show_full_result_count = None, False
        self.show_admin_actions, self.can_show_all, self.multi_page = True, False, False
        self.newer = self.page.newer and self.get_query_string({PAGE_VAR: f"after-{self.page.newer}"})
        self.older = self.page.older and self.get_query_string({PAGE_VAR: f"before-{self.page.older}"})

    def url_for_result(self, result: Any) -> str:
        """Return the address of the row's own page on the site, if it has one, else that of the admin."""
        return (
            result.get_absolute_url()
            if hasattr(result, "get_absolute_url")
            else super().url_for_result(result)
        )


class Viewer(_ModelAdmin):
    """A read-only admin."""

    changelist: type[ChangeList] = LongList
    actions_on_top = True
    list_per_page = paging.PAGE_SIZE
    list_max_show_all = 0
    show_facets = admin.ShowFacets.NEVER
    show_full_result_count = False
    sortable_by = ()
    empty_value_display = "–"

    class Media:
        css = {"all": ("poolwise/admin.css",)}

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        """Return the list of the class."""
        return self.changelist

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the list, titled by what it lists."""
        title = capfirst(str(self.opts.verbose_name_plural))
        return super().changelist_view(request, {"title": title, **(extra_context or {})})

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Return that rows come from the platform alone."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: object | None = None) -> bool:
        """Return that rows change by the platform alone."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object | None = None) -> bool:
        """Return that rows go by the platform alone."""
        return False


class PageViewer(Viewer):
    """A read-only admin of rows that have a page of their own on the site: there are their details."""

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Lead to the row's page whom the admin would show the row."""
        response = super().changeform_view(request, object_id, form_url, extra_context)
        row = self.get_object(request, object_id) if object_id and response.status_code == 200 else None
        return HttpResponseRedirect(row.get_absolute_url()) if row else response


def badge(kind: str, text: str) -> SafeString:
    """Return a state as a coloured word."""
    return format_html('<span class="pw-badge pw-{}">{}</span>', kind, text)
