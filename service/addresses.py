"""Who shares something with whom: an address of IPv4, or the network of an address of IPv6."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, ip_address, ip_network

IPV6_PREFIX = 64  # what one subscriber is given; counted alone, each of its addresses would have a share of its own


@lru_cache(4096)
def neighbourhood(host: str) -> str:
    """The key under which a client's share is counted; what is no address (a unix socket's end) stands for itself."""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if isinstance(address, IPv4Address):
        return str(address)
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(ip_network((int(address), IPV6_PREFIX), strict=False))
