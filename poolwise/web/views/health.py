"""What no person looks at."""

from django.http import HttpRequest, HttpResponsePermanentRedirect, JsonResponse
from django.templatetags.static import static
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe


@require_safe
@never_cache
def healthz(request: HttpRequest) -> JsonResponse:
    """Answer that the web process lives, without login and without asking anything else."""
    return JsonResponse({"ok": True})


@require_safe
def favicon(request: HttpRequest) -> HttpResponsePermanentRedirect:
    """Send browsers to the mark: the admin's pages name none, so they ask for this address."""
    return HttpResponsePermanentRedirect(static("poolwise/mark.svg"))
