"""What the read-only admins share: no row can be changed, and no list counts or skips rows without a limit."""

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import PAGE_VAR, ChangeList
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import capfirst

from poolwise.reports import Lead, paging
from poolwise.support import is_storable

if TYPE_CHECKING:  # the stubs' class is generic, Django's is not
    _ModelAdmin = admin.ModelAdmin[Any]
else:
    _ModelAdmin = admin.ModelAdmin


class ShortList(ChangeList):
    """A list of a table that stays small."""

    def get_filters(self, request: HttpRequest) -> Any:
        """Return the filters and lookups. Raise IncorrectLookupParameters for text that the database cannot store."""
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
        """Read the page that the URL asks for, `?p=before-<cursor>` or `?p=after-<cursor>`."""
        way, _, cursor = request.GET.get(PAGE_VAR, "").partition("-")
        self.page = self.read_page(
            {way: cursor}, self.get_ordering(request, self.queryset)[0].removeprefix("-")
        )
        self.result_list = self.page.rows
        self.result_count = paging.bounded_count(self.queryset)
        self.is_capped = self.result_count >= paging.COUNT_LIMIT
        self.full_result_count, self.show_full_result_count = None, False
        self.show_admin_actions, self.can_show_all, self.multi_page = True, False, False
        self.newer = self.page.newer and self.get_query_string({PAGE_VAR: f"after-{self.page.newer}"})
        self.older = self.page.older and self.get_query_string({PAGE_VAR: f"before-{self.page.older}"})

    def read_page(self, keys: dict[str, str], moment: str) -> paging.Page[Any]:
        """Return the page that the cursor asks for."""
        return paging.page_of(self.queryset, keys, lead=Lead(moment=moment))

    def url_for_result(self, result: Any) -> str:
        """Return the URL of the row's page on the site, if it has one, else of its page in the admin."""
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
        """Show the list, titled by its model."""
        title = capfirst(str(self.opts.verbose_name_plural))
        return super().changelist_view(request, {"title": title, **(extra_context or {})})

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Return False: only the platform adds rows."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: object | None = None) -> bool:
        """Return False: only the platform changes rows."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object | None = None) -> bool:
        """Return False: only the platform deletes rows."""
        return False


class PageViewer(Viewer):
    """A read-only admin of rows whose details are on a page of the site."""

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Redirect to the row's page, if the user may see the row here."""
        response = super().changeform_view(request, object_id, form_url, extra_context)
        row = self.get_object(request, object_id) if object_id and response.status_code == 200 else None
        return HttpResponseRedirect(row.get_absolute_url()) if row else response


def state_label(kind: str, text: str) -> SafeString:
    """Return a state as a coloured label."""
    return format_html('<span class="pw-state_label pw-{}">{}</span>', kind, text)
