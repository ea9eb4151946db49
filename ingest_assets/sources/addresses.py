"""Which hosts may be connected to: the ones that are listed, and on the public internet.

What belongs here: judging a name, and what it resolves to. What does not: which addresses are public
(`internet`), protocols, tokens and keys (each source's own policy), and connecting.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import ClassVar

from ingest_assets.internet import IPAddress, is_public, look_up
from ingest_assets.jobs.errors import JobTargetError

_LOCAL_NAMES = re.compile(r"(^|\.)(localhost|local|internal|localdomain|lan|home\.arpa)\Z")
_HOST = re.compile(r"(?!-)[a-z0-9_-]{1,63}(\.(?!-)[a-z0-9_-]{1,63})*\Z")
# inet_aton accepts 2130706433, 0x7f000001, 0177.1 and 127.1 as addresses, so a resolver may as well.
_NUMERIC_LABEL = re.compile(r"(0x[0-9a-f]*|[0-9]+)\Z")
_DOTTED_QUAD = re.compile(r"(0|[1-9][0-9]{0,2})(\.(0|[1-9][0-9]{0,2})){3}\Z")
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
        found = look_up(host, port, timeout_s)
        for text in found:
            address, _, zone = text.partition("%")
            self.require_address(host, ipaddress.ip_address(address))
            if zone and not self.allow_private_addresses:
                raise NotAllowedError(
                    f"{self.what} may not be fetched from {host}: its address is of a local network."
                )
        return found


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
