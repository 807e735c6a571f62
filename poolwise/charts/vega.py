"""Vega's JavaScript, made once from the installed wheel and served as a file that never changes."""

import gzip
import hashlib
import subprocess
import sys
import threading
from functools import cache
from importlib.metadata import version

from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.cache import patch_vary_headers

_SCRIPT = "import sys, vl_convert; sys.stdout.write(vl_convert.javascript_bundle())"
_TIMEOUT_S = 60
_making = threading.Lock()


@cache
def bundle_digest() -> str:
    """Return what names the bundle in its address: it changes with the wheel that makes it."""
    return hashlib.sha256(version("vl-convert-python").encode()).hexdigest()[:16]


def script_url() -> str:
    """Return the address of the bundle."""
    return reverse("admin:poolwise_vega", args=[bundle_digest()])


def bundle() -> bytes:
    """Return the bundle, gzipped; about 300 KB. Raise CalledProcessError when the wheel cannot make it."""
    with _making:  # two first requests must not both pay for it
        return _made()


@cache
def _made() -> bytes:
    # In a process of its own: the JavaScript engine that bundles holds 120 MB while its process lives.
    command = [sys.executable, "-I", "-c", _SCRIPT]
    done = subprocess.run(command, check=True, capture_output=True, timeout=_TIMEOUT_S)  # noqa: S603
    return gzip.compress(done.stdout, mtime=0)


def serve_bundle(request: HttpRequest, digest: str) -> HttpResponse:
    """Answer with the bundle; it holds nothing private, so anyone may have it and caches may keep it."""
    if digest != bundle_digest():
        raise Http404("There is no such version of the charts' script.")
    packed = bundle()
    if "gzip" in request.headers.get("Accept-Encoding", ""):
        response = HttpResponse(packed, content_type="text/javascript; charset=utf-8")
        response["Content-Encoding"] = "gzip"
    else:
        response = HttpResponse(gzip.decompress(packed), content_type="text/javascript; charset=utf-8")
    response["Cache-Control"] = "public, max-age=31536000, immutable"
    patch_vary_headers(response, ["Accept-Encoding"])
    return response
