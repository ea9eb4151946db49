"""Which addresses are on the public internet, and the addresses of a host.

What belongs here: addresses. What does not: what may be connected to (`sources.addresses`).
"""

from __future__ import annotations

import ipaddress
import socket
import threading

from ingest_assets.model import UnavailableError

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
LOOK_UP_S = 5.0

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


def is_on_the_internet(host: str, port: int, timeout_s: float = LOOK_UP_S) -> bool:
    """Whether a connection to a host leaves private networks. False where its address is not known."""
    try:
        found = look_up(host, port, timeout_s)
    except UnavailableError:
        return False
    return any(is_public(ipaddress.ip_address(address.partition("%")[0])) for address in found)


def look_up(host: str, port: int, timeout_s: float) -> list[str]:
    """The addresses of a host. Raises UnavailableError if it is not known, or nobody knows it in time."""
    # In a thread, because a resolver cannot be given a timeout.
    found: list[str] = []
    failed: list[str] = []

    def look() -> None:
        try:
            answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            failed.append(getattr(error, "strerror", None) or str(error))
        else:
            found.extend(dict.fromkeys(str(answer[4][0]) for answer in answers))

    thread = threading.Thread(target=look, daemon=True, name="look up a host")
    thread.start()
    thread.join(timeout_s)
    if failed:
        raise UnavailableError(f"The host {host} is not known: {failed[0]}.")
    if not found:
        raise UnavailableError(f"The address of {host} could not be looked up in {timeout_s:.0f} s.")
    return list(found)
