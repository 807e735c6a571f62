"""Which IP addresses HTTP jobs may connect to: those on the public internet."""

import socket
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import httpcore

from poolwise import PoolwiseError

#: Beside those that `ipaddress` calls not global. Some services of cloud providers have public addresses, and five
#: kinds of IPv6 address contain an IPv4 one (compatible, mapped, NAT64, Teredo within 2001::/23, 6to4).
_FORBIDDEN = [
    ip_network(text)
    for text in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "168.63.129.16/32", "169.254.0.0/16", "172.16.0.0/12",
        "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24",
        "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4", "::/96", "::ffff:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48",
        "100::/64", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", "5f00::/16", "fc00::/7", "fe80::/10",
        "fec0::/10", "ff00::/8",
    )
]  # fmt: skip
_IPV6_UNICAST = ip_network("2000::/3")


class FetchRefused(PoolwiseError):
    """HTTP jobs may not fetch this address, or its answer is too large or too slow."""


def is_public(address: str) -> bool:
    """Return whether an IP address is on the public internet and in no private network."""
    try:
        parsed = ip_address(address)
    except ValueError:  # a zone, as in fe80::1%eth0
        return False
    if isinstance(parsed, IPv6Address) and parsed not in _IPV6_UNICAST:
        return False
    return parsed.is_global and not any(parsed in net for net in _FORBIDDEN if net.version == parsed.version)


def literal(host: str) -> IPv4Address | IPv6Address | None:
    """Return the address that a host is, as the C library parses it (0x7f.1, 017700000001, 2130706433), or None."""
    try:
        return ip_address(host.strip("[]"))
    except ValueError:
        pass
    try:
        return IPv4Address(socket.inet_aton(host.removesuffix("."))) if " " not in host else None
    except (OSError, ValueError):
        return None


def checked(host: str, addresses: Iterable[str]) -> list[str]:
    """Return a host's addresses in their order. Raise FetchRefused unless there are some and all are public."""
    distinct = list(dict.fromkeys(addresses))
    if not distinct:
        raise httpcore.ConnectError(f"{host} has no address")
    if private := [address for address in distinct if not is_public(address)]:
        raise FetchRefused(
            f"{host} resolves to {private[0][:60]}, which is not on the public internet: HTTP jobs may not fetch from "
            "private, loopback, link-local and metadata addresses, unless the operator lists host:port in "
            "JOB_HTTP_ALLOWED_HOSTS."
        )
    return distinct
