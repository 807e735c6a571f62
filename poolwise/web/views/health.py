"""Health check and favicon."""

from django.http import HttpRequest, HttpResponsePermanentRedirect, JsonResponse
from django.templatetags.static import static
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe


@require_safe
@never_cache
def healthz(request: HttpRequest) -> JsonResponse:
    """Answer that the web process runs, without a login and without using any other service."""
    return JsonResponse({"ok": True})


@require_safe
def favicon(request: HttpRequest) -> HttpResponsePermanentRedirect:
    """Redirect browsers to the icon: the admin's pages name none, so browsers request this URL."""
    return HttpResponsePermanentRedirect(static("poolwise/mark.svg"))
