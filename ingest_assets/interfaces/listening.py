"""The address that a server listens on, and whether it may without tokens.

What belongs here: sockets before anything is served. What does not: what is served on them.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
from dataclasses import dataclass

from ingest_assets.model import ConfigurationError

BACKLOG = 512


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen, with the names of the settings that say so, which messages name."""

    host: str
    port: int
    has_tokens: bool
    prefix: str  # of INGEST_HTTP_HOST: INGEST_HTTP
    tokens: str  # the setting's name


def listen(wanted: Address) -> socket.socket:
    """Bind the address. Raises ConfigurationError when that fails, or when tokens are needed and not set."""
    host, port, prefix = wanted.host, wanted.port, wanted.prefix
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:
        raise ConfigurationError(f"{prefix}_HOST={host}: there is no such host or address.") from error
    if not wanted.has_tokens and not ipaddress.ip_address(address[0]).is_loopback:
        raise ConfigurationError(
            f"{prefix}_HOST={host} can be reached from other machines, and {wanted.tokens} is not set. "
            "Set tokens, or listen on 127.0.0.1."
        )
    found = socket.socket(family, socket.SOCK_STREAM)
    try:
        # Connections left behind by an earlier server must not prevent this one from starting.
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
        found.listen(BACKLOG)
    except OSError as error:
        found.close()
        if error.errno == errno.EADDRINUSE:
            message = f"Port {port} on {host} is in use. Stop the other program, or set {prefix}_PORT."
        else:
            message = f"Cannot listen on port {port} of {host}: {error.strerror}."
        raise ConfigurationError(message) from error
    return found


def url_of(listening: socket.socket) -> str:
    """The URL to open in a browser."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
