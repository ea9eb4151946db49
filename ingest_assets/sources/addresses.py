"""Which hosts and addresses may be connected to: the ones that are listed, and on the public internet.

What belongs here: judging a name, an address, and what a name resolves to. What does not: protocols, tokens
and keys (each source's own policy), and connecting.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import threading
from dataclasses import dataclass
from typing import ClassVar

from ingest_assets.jobs.errors import JobTargetError
from ingest_assets.model import UnavailableError

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

_LOCAL_NAMES = re.compile(r"(^|\.)(localhost|local|internal|localdomain|lan|home\.arpa)\Z")
_HOST = re.compile(r"(?!-)[a-z0-9_-]{1,63}(\.(?!-)[a-z0-9_-]{1,63})*\Z")
# inet_aton accepts 2130706433, 0x7f000001, 0177.1 and 127.1 as addresses, so a resolver may as well.
_NUMERIC_LABEL = re.compile(r"(0x[0-9a-f]*|[0-9]+)\Z")
_DOTTED_QUAD = re.compile(r"(0|[1-9][0-9]{0,2})(\.(0|[1-9][0-9]{0,2})){3}\Z")
# Only what is listed here is public, whatever this version of Python knows of the registries of IANA.
_NOT_PUBLIC_4 = tuple(
    map(
        ipaddress.IPv4Network,
        (
            "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
            "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15",
            "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3",
            "168.63.129.16/32",  # looks public: Azure's wire server, in every machine there
        ),
    )
)  # fmt: skip
_PUBLIC_6 = ipaddress.IPv6Network("2000::/3")  # everything else is local, reserved, or embeds another
_NOT_PUBLIC_6 = tuple(map(ipaddress.IPv6Network, ("2001::/23", "2001:db8::/32", "3ffe::/16", "3fff::/20")))
_6TO4 = ipaddress.IPv6Network("2002::/16")
_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_ISATAP = frozenset({0x5EFE, 0x02005EFE})  # the third quarter of an address that ends with an IPv4 address
_MAX_HOST = 253


class NotAllowedError(JobTargetError):
    """A target that may not be read, or is not spelled as one. Names no file and no setting's value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostRules:
    """Which hosts may be connected to. The defaults allow every public host.

    `hosts`, when given, are the only ones; "*.example.com" stands for every name below example.com.
    """

    what: ClassVar[str] = "Things"  # that are fetched, as a message begins

    hosts: frozenset[str] | None = None
    allow_private_addresses: bool = False

    def require_host(self, host: str) -> None:
        """Raises NotAllowedError for a host that is not listed, or is itself a private address or name."""
        if self.hosts is not None and not any(matches(host, pattern) for pattern in self.hosts):
            raise NotAllowedError(f"{self.what} may not be fetched from {host}: it is not an allowed host.")
        self.require_public_name(host)

    def require_public_name(self, host: str) -> None:
        """Raises NotAllowedError for a host that is itself a private address or name."""
        if self.allow_private_addresses:
            return
        address = _literal(host)
        if address is not None:
            self.require_address(host, address)
        elif _LOCAL_NAMES.search(host):
            raise NotAllowedError(f"{self.what} may not be fetched from {host}: it is a private name.")

    def require_address(self, host: str, address: IPAddress) -> None:
        """Raises NotAllowedError for an address of `host` that is not public."""
        if not self.allow_private_addresses and not is_public(address):
            raise NotAllowedError(
                f"{self.what} may not be fetched from {host}: its address is private or reserved."
            )

    def resolve(self, host: str, port: int, timeout_s: float) -> list[str]:
        """The addresses to connect to. One forbidden address among them forbids the host.

        Raises NotAllowedError then, and UnavailableError when the name is not known or the resolver
        does not answer in `timeout_s`.
        """
        self.require_host(host)
        found = _look_up(host, port, timeout_s)
        for text in found:
            address, _, zone = text.partition("%")
            self.require_address(host, ipaddress.ip_address(address))
            if zone and not self.allow_private_addresses:
                raise NotAllowedError(
                    f"{self.what} may not be fetched from {host}: its address is of a local network."
                )
        return found


def is_public(address: IPAddress) -> bool:
    """Whether an address is on the public internet. One that embeds another is judged by the embedded one."""
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_4)
    bits, last = int(address), ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    if address in _MAPPED or address in _NAT64:
        return is_public(last)
    if address in _6TO4:
        return is_public(ipaddress.IPv4Address((bits >> 80) & 0xFFFFFFFF))
    if (bits >> 32) & 0xFFFFFFFF in _ISATAP and not is_public(last):
        return False
    return address in _PUBLIC_6 and not any(address in network for network in _NOT_PUBLIC_6)


def checked_host(host: str, url: str) -> str:
    """A host in comparable form, without brackets.

    Raises NotAllowedError when it is not valid, with a message about `url` ("the URL").
    """
    if ":" in host:
        try:
            address = ipaddress.IPv6Address(host)
        except ValueError:
            address = None
        if address is None or address.scope_id is not None:  # a zone makes sense on a local network only
            raise NotAllowedError(f"The host of {url} is not an IPv6 address.")
        return str(address)
    try:
        # IDNA knows other dots and digits, which become the usual ones.
        name = (host if host.isascii() else host.encode("idna").decode()).rstrip(".").lower()
    except UnicodeError:
        name = ""
    if len(name) > _MAX_HOST or not _HOST.match(name):
        raise NotAllowedError(f"{url[:1].upper()}{url[1:]} has no host, or one that is not a host name.")
    if _NUMERIC_LABEL.match(name.rsplit(".", 1)[-1]) and not _DOTTED_QUAD.match(name):
        raise NotAllowedError(f"The host of {url} is a number: write an address as 192.0.2.1.")
    return name


def _literal(host: str) -> IPAddress | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def matches(host: str, pattern: str) -> bool:
    """Whether a host is meant by a pattern: its name, its address in any spelling, or "*." and its end."""
    if pattern.startswith("*."):
        return host.endswith(pattern[1:].lower())
    bare = pattern.lower().strip("[]")
    return host == bare or ((address := _literal(host)) is not None and address == _literal(bare))


def _look_up(host: str, port: int, timeout_s: float) -> list[str]:
    """The addresses of a host, resolved in a thread because a resolver cannot be given a timeout."""
    found: list[str] = []
    failed: list[OSError] = []

    def look() -> None:
        try:
            answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            failed.append(error)
        else:
            found.extend(dict.fromkeys(str(answer[4][0]) for answer in answers))

    thread = threading.Thread(target=look, daemon=True, name="look up a host")
    thread.start()
    thread.join(timeout_s)
    if failed:
        raise UnavailableError(f"The host {host} is not known: {failed[0].strerror or failed[0]}.")
    if not found:
        raise UnavailableError(f"The address of {host} could not be looked up in {timeout_s:.0f} s.")
    return list(found)
