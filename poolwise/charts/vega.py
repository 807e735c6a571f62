"""Vega's JavaScript, bundled once from the installed wheel and served as an immutable file."""

import gzip
import hashlib
import threading
from functools import cache
from importlib.metadata import version

from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.cache import patch_vary_headers

from poolwise.charts import export

_SCRIPT = "import sys, vl_convert; sys.stdout.write(vl_convert.javascript_bundle())"
_making = threading.Lock()


@cache
def bundle_digest() -> str:
    """Return the version of the bundle in its URL: it changes with the wheel."""
    return hashlib.sha256(version("vl-convert-python").encode()).hexdigest()[:16]


def script_url() -> str:
    """Return the URL of the bundle."""
    return reverse("admin:poolwise_vega", args=[bundle_digest()])


def bundle() -> bytes:
    """Return the gzipped bundle, about 300 KB. Raise CalledProcessError when bundling fails."""
    with _making:  # once, even for concurrent first requests
        return _made()


@cache
def _made() -> bytes:
    return gzip.compress(export.run_script(_SCRIPT), mtime=0)


def serve_bundle(request: HttpRequest, digest: str) -> HttpResponse:
    """Serve the bundle; it is public and may be cached for ever."""
    if digest != bundle_digest():
        raise Http404("Unknown version of the charts' script.")
    packed = bundle()
    if "gzip" in request.headers.get("Accept-Encoding", ""):
        response = HttpResponse(packed, content_type="text/javascript; charset=utf-8")
        response["Content-Encoding"] = "gzip"
    else:
        response = HttpResponse(gzip.decompress(packed), content_type="text/javascript; charset=utf-8")
    response["Cache-Control"] = "public, max-age=31536000, immutable"
    patch_vary_headers(response, ["Accept-Encoding"])
    return response
