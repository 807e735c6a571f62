"""What no person looks at."""

from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe


@require_safe
@never_cache
def healthz(request: HttpRequest) -> JsonResponse:
    """Answer that the web process lives, without login and without asking anything else."""
    return JsonResponse({"ok": True})
