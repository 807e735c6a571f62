"""The form data that a browser sends, and the text of a response."""

from typing import Any

HTMX = {"HX-Request": "true"}
WAIT = "/definitions/io.wait/"


def form(**changes: Any) -> dict[str, Any]:
    """Return the form of io.wait as a browser would post it."""
    return {"param-duration_s": "0.2", "pools": ["gevent"], "copies": "1"} | changes


def text_of(response: Any) -> str:
    return str(response.content.decode())
