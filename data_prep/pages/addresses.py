"""Which addresses may be asked: the rules on a URL as written, and on the network address that its host resolves to.

Links come from cards and pages that anybody can write. A link to 169.254.169.254 or to a port of this machine would turn the
fetcher into a way behind the firewall, so what is not plainly public is refused, with the reason.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import httpx2

# Own list, since `ipaddress.is_global` of Python 3.11 calls 64:ff9b::/96, 2002::/16, fec0::/10 and 224.0.0.0/4 global.
# Sources: IANA's special-purpose address registries for IPv4 and IPv6 (RFC 6890 and its updates).
NETWORKS = {
    ip_network(network): word
    for word, networks in {
        "unspecified": "0.0.0.0/8 ::/128",
        "private": "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 fc00::/7",
        "shared by a carrier": "100.64.0.0/10",
        "loopback": "127.0.0.0/8 ::1/128",
        "link-local": "169.254.0.0/16 fe80::/10",  # cloud metadata live here
        "site-local": "fec0::/10",
        "reserved": "192.0.0.0/24 240.0.0.0/4 100::/64 5f00::/16",
        "documentation": "192.0.2.0/24 198.51.100.0/24 203.0.113.0/24 2001:db8::/32 3fff::/20",
        "benchmarking": "198.18.0.0/15",
        "multicast": "224.0.0.0/4 ff00::/8",
        "a way into IPv4 (6to4)": "192.88.99.0/24 2002::/16",
        "a way into IPv4 (NAT64)": "64:ff9b::/96 64:ff9b:1::/48",
        "a protocol's own (Teredo and others)": "2001::/23",
    }.items()
    for network in networks.split()
}
GLOBAL_IPV6 = ip_network("2000::/3")  # all that has been given out
PORTS = (80, 443)
HOST = re.compile(r"(?=.{1,253}$)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*|[0-9a-f:.]*:[0-9a-f:.]*", re.ASCII)


class Refused(Exception):
    """A page that is not to be had. The text is the reason; `final` where asking again would end the same way."""

    def __init__(self, reason: str, final: bool = True, status: int | None = None) -> None:
        super().__init__(reason)
        self.final = final
        self.status = status


def not_public(address: str) -> str:
    """Why `address` (IPv4 or IPv6 in digits) is not public, in a word or two; "" where it is."""
    ip = ip_address(address)
    for network, word in NETWORKS.items():
        if ip in network:
            return word
    if isinstance(ip, IPv6Address) and ip not in GLOBAL_IPV6:
        inner = _inner_ipv4(ip)
        return not_public(str(inner)) if inner else "outside the public range"
    return ""


def _inner_ipv4(ip: IPv6Address) -> IPv4Address | None:
    """The IPv4 address of ::ffff:a.b.c.d and ::a.b.c.d, which the kernel may take as that very address."""
    return ip.ipv4_mapped or (IPv4Address(int(ip)) if int(ip) < 2**32 else None)


def check(url: str, hosts: Sequence[str] | None) -> httpx2.URL:
    """`url` ready to be asked: host in ASCII, no fragment, no trailing dot. `hosts` is the allow-list, None for any host.

    Raises Refused. An address in place of a name passes here (in digits of any kind): the gate judges it when it connects.
    """
    try:
        parsed = httpx2.URL(url)
    except (httpx2.InvalidURL, UnicodeError) as error:
        raise Refused(f"not a URL: {error}"[:200]) from None
    if parsed.scheme not in ("http", "https"):
        raise Refused(f'scheme "{parsed.scheme[:20]}" is neither http nor https')
    if parsed.userinfo:
        raise Refused("the URL holds a user name or password")
    host = parsed.raw_host.decode("ascii").removesuffix(".")
    if not HOST.fullmatch(host):
        raise Refused(f'"{host[:80]}" is not a host name')
    if parsed.port not in (None, *PORTS):
        raise Refused(f"port {parsed.port} is neither 80 nor 443")
    if hosts is not None and not any(matches(host, pattern) for pattern in hosts):
        raise Refused(f"{host} is not in the allow-list")
    return parsed.copy_with(host=host, fragment=None)


def matches(host: str, pattern: str) -> bool:
    """`*.github.io` takes every name below github.io and not github.io itself; anything else is a whole host name."""
    return host.endswith(pattern[1:]) if pattern.startswith("*.") else host == pattern
