"""The client's IP address: failed logins are counted by user name and address together."""

from ipaddress import ip_address

from django.conf import settings
from django.http import HttpRequest


def client_address(request: HttpRequest) -> str:
    """Return the address of the client, as the outermost of PROXY_COUNT trusted proxies saw it.

    Entries that the client itself adds to X-Forwarded-For are further left and ignored.
    """
    peer = str(request.META.get("REMOTE_ADDR", ""))
    if settings.PROXY_COUNT < 1:
        return peer
    seen = [part.strip() for part in request.headers.get("X-Forwarded-For", "").split(",") if part.strip()]
    if len(seen) < settings.PROXY_COUNT:
        return peer
    try:
        return str(ip_address(seen[-settings.PROXY_COUNT]))
    except ValueError:
        return peer
