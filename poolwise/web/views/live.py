"""Pages with a live part that htmx refreshes, and the login that they need."""

import functools
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Concatenate

from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render, resolve_url
from django.template.loader import render_to_string
from django.utils import translation
from django.utils.cache import patch_cache_control, patch_vary_headers
from django.utils.safestring import SafeString, mark_safe
from django_htmx.http import HttpResponseClientRedirect
from django_htmx.middleware import HtmxDetails


class PageRequest(HttpRequest):
    """A request of a logged-in user, past the middleware."""

    user: User
    htmx: HtmxDetails
    request_id: str


def signed_in[**P](
    view: Callable[Concatenate[PageRequest, P], HttpResponse],
) -> Callable[Concatenate[HttpRequest, P], HttpResponseBase]:
    """Redirect to the login page unless the user is logged in; from a live part, redirect the whole page."""

    @functools.wraps(view)
    def wrapper(request: Any, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        if request.user.is_authenticated:
            # The pages are in English: «1.234 queued» of a German site would read as one job and a bit.
            with translation.override("en"):
                return view(request, *args, **kwargs)
        if request.htmx:
            return HttpResponseClientRedirect(resolve_url(settings.LOGIN_URL))
        return redirect_to_login(request.get_full_path())

    return wrapper


@dataclass(frozen=True, slots=True)
class LivePart:
    """A rendered part of a page, and the version of its content."""

    html: SafeString
    version: str


def live_part(
    request: PageRequest,
    template: str,
    context: dict[str, Any],
    *,
    name: str,
    url: str,
    every_s: float | None,
) -> LivePart:
    """Render a part that htmx refreshes from `url` every `every_s` seconds, never if None."""
    body = render_to_string(template, context, request)
    version = hashlib.sha256(f"{every_s} {body}".encode()).hexdigest()[:16]
    values = {
        "name": name,
        "url": url,
        "every_ms": round(every_s * 1000) if every_s else None,
        "version": version,
        "body": mark_safe(body),  # noqa: S308 - a rendered template
    }
    return LivePart(render_to_string("poolwise/_live.html", values), version)


def own_url(request: PageRequest) -> str:
    """Return the URL of the page, without the live part's parameter."""
    query = request.GET.copy()
    query.pop("seen", None)
    return f"{request.path}?{query.urlencode()}" if query else request.path


def live_answer(request: PageRequest, part: LivePart, page: str, context: dict[str, Any]) -> HttpResponse:
    """Answer with the page; to htmx with only its live part, or 204 if the browser shows it already."""
    if not request.htmx:
        response = render(request, page, {**context, "live": part.html})
    elif request.GET.get("seen") == part.version:
        response = HttpResponse(status=204)
    else:
        response = HttpResponse(part.html)
    # Without these the browser's Back button may show only the part.
    patch_vary_headers(response, ["HX-Request"])
    patch_cache_control(response, no_store=True)
    return response


def live_page(
    request: PageRequest, page: str, part: str, context: dict[str, Any], *, every_s: float | None
) -> HttpResponse:
    """Answer with a page whose live part comes from the page's own URL; see `live_part`."""
    live = live_part(request, part, context, name="live", url=own_url(request), every_s=every_s)
    return live_answer(request, live, page, context)
