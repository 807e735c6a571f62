"""Pauses in the admin: the list of them, and the pages that pause, drain, resume and purge."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html

from poolwise import control
from poolwise.admin.base import ShortList, Viewer, state_label
from poolwise.control import roles
from poolwise.definitions import all_definitions
from poolwise.models import Job, Pause
from poolwise.reports import PoolNow, pools_now
from poolwise.support import PoolwiseError, UnknownDefinition, UnknownPool

_ACTIONS = {"pool": ("pause", "resume", "drain", "purge"), "definition": ("pause", "resume")}
_EFFECTS = {
    "pause": "Running jobs finish; queued and new jobs wait. All workers follow within 2 s, also those that start later.",
    "drain": "Running jobs finish; queued and new jobs wait. Once no job runs, the pool is drained and its workers can "
    "be stopped.",
    "resume": "Queued jobs start again, the oldest first.",
    "purge": "The queued jobs are cancelled and their messages removed from the broker. This cannot be undone. Running "
    "jobs finish; jobs submitted from now on stay queued.",
}


class ReasonForm(forms.Form):
    """The reason for an action; with `chooses`, also the definition."""

    reason = forms.CharField(
        max_length=300,
        widget=forms.TextInput(attrs={"autocomplete": "off", "size": 60}),
        help_text="The audit log keeps it.",
        error_messages={"required": "Give a reason for the audit log."},
    )

    def __init__(self, *args: Any, chooses: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if chooses:
            names = [(definition.name, definition.name) for definition in all_definitions()]
            field = forms.ChoiceField(choices=[("", "---------"), *names], label="Definition")
            self.fields = {"definition": field, **self.fields}


@admin.register(Pause)
class PauseAdmin(Viewer):
    """The pools and definitions whose jobs wait."""

    changelist = ShortList
    list_display = ("name", "kind", "state_cell", "reason", "user", "at", "resume_link")
    list_display_links = None
    list_select_related = ("user",)
    ordering = ("kind", "name")

    @admin.display(description="State")
    def state_cell(self, pause: Pause) -> str:
        """Return the state as a coloured label."""
        return state_label("queued", pause.get_state_display())

    @admin.display(description="")
    def resume_link(self, pause: Pause) -> str:
        """Return a link to the page that resumes it."""
        url = reverse("admin:poolwise_pause_action", args=[pause.kind, pause.name, "resume"])
        return format_html('<a href="{}">Resume…</a>', url)

    def get_urls(self) -> list[URLPattern]:
        """Return the URLs, with those of the actions."""
        view = self.admin_site.admin_view(self.action_view)
        pages = [
            path("pause-definition/", view, name="poolwise_pause_choose"),
            path("<str:kind>/<str:name>/<str:action>/", view, name="poolwise_pause_action"),
        ]
        return [*pages, *super().get_urls()]

    def action_view(
        self, request: HttpRequest, kind: str = "definition", name: str = "", action: str = "pause"
    ) -> HttpResponse:
        """Show what an action would do and ask for the reason; on POST do it."""
        if action not in _ACTIONS.get(kind, ()):
            raise Http404("Unknown action.")
        roles.require(request.user, roles.PURGE if action == "purge" else roles.OPERATE)
        form = ReasonForm(request.POST if request.method == "POST" else None, chooses=not name)
        if form.is_valid():
            target = name or form.cleaned_data["definition"]
            try:
                message = _do(request, kind, target, action, form.cleaned_data["reason"])
            except (UnknownPool, UnknownDefinition) as error:
                raise Http404(str(error)) from error
            except PoolwiseError as error:
                form.add_error(None, str(error))
            else:
                self.message_user(request, message, messages.SUCCESS)
                return HttpResponseRedirect(_after(request, kind, target))
        return TemplateResponse(
            request, "admin/poolwise/pause/action.html", self._context(request, kind, name, action, form)
        )

    def _context(
        self, request: HttpRequest, kind: str, name: str, action: str, form: ReasonForm
    ) -> dict[str, Any]:
        live = pools_now()
        return {
            **self.admin_site.each_context(request),
            "title": f"{action.capitalize()} the {kind} {name}" if name else "Pause a definition",
            "opts": self.opts,
            "kind": kind,
            "name": name,
            "action": action,
            "effect": _EFFECTS[action],
            "form": form,
            "queued": Job.objects.queued().filter(**{kind: name}).count() if name else None,
            "pool_live": live.pools.get(name, PoolNow(name, ())) if kind == "pool" else None,
            "media": self.media,
            "back": _after(request, kind, name),
        }


def _do(request: HttpRequest, kind: str, name: str, action: str, reason: str) -> str:
    user: Any = request.user
    if action == "purge":
        purged = control.purge(name, user=user, reason=reason, by="admin")
        return f"{purged.cancelled:,} queued jobs of {name} cancelled."
    if action == "drain":
        return control.drain(name, user=user, reason=reason, by="admin").text
    change: Callable[..., control.ActionResult] = control.pause if action == "pause" else control.resume
    return change(kind, name, user=user, reason=reason, by="admin").text


def _after(request: HttpRequest, kind: str, name: str) -> str:
    if kind == "pool" and request.user.has_perm("poolwise.view_pool"):
        return reverse("admin:poolwise_pool_change", args=[name])
    if kind == "definition" and name:
        return reverse("poolwise:definition", args=[name])
    return reverse("admin:index")
