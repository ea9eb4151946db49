"""Certificates that ran out, or are not valid yet, and on which day.

The library says of one that it is refused, Postgres's not even why. So the server is asked for it once more,
without trusting it, and its days are read.

What belongs here: reading certificates. What does not: which are trusted (`json_client`, and each client).
"""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

# Whoever is told of it has just had an answer from there.
ASK_S = 3.0
_POSTGRES_SSL_REQUEST = struct.pack("!ii", 8, 80877103)
_HTTPS_PORT = 443
_HAS_EXPIRED = 10  # X509_V_ERR_CERT_HAS_EXPIRED of OpenSSL

# What a protocol exchanges before TLS begins.
Begin = Callable[[socket.socket], None]


def is_refused(error: BaseException | None) -> bool:
    """Whether a connection failed because of the server's certificate, or of ours."""
    while error is not None:
        if isinstance(error, ssl.SSLError):
            # A connection cut in the middle of a handshake is an ordinary broken connection.
            return not isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError)
        error = error.__cause__ or error.__context__
    return False


def is_unverified(error: BaseException | None) -> bool:
    """Whether it failed because the server's certificate could not be verified."""
    return _unverified(error) is not None


def has_run_out(error: BaseException | None) -> bool:
    """Whether it failed because the server's certificate has run out."""
    return (found := _unverified(error)) is not None and found.verify_code == _HAS_EXPIRED


def _unverified(error: BaseException | None) -> ssl.SSLCertVerificationError | None:
    while error is not None and not isinstance(error, ssl.SSLCertVerificationError):
        error = error.__cause__ or error.__context__
    return error


def shown_by(host: str, port: int, begin: Begin = lambda _: None) -> str:
    """What the day says of the certificate that a server shows, as a clause; "" if it is valid, or unknown.

    `begin` is what the protocol exchanges before TLS.
    """
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with socket.create_connection((host, port), timeout=ASK_S) as plain:
            begin(plain)
            with context.wrap_socket(plain, server_hostname=host) as secured:
                shown = secured.getpeercert(binary_form=True)
    except (OSError, ValueError, struct.error):
        return ""
    from cryptography.x509 import load_der_x509_certificate

    with suppress(ValueError):
        return _judged("its certificate", load_der_x509_certificate(shown or b""))
    return ""


def shown_at(url: str) -> str:
    """The same, of what a URL with https names."""
    parts = urlsplit(url)
    return shown_by(parts.hostname, parts.port or _HTTPS_PORT) if parts.hostname else ""


def in_files(files: Iterable[Path | None]) -> str:
    """The same, of the first certificate in PEM files that is not valid today."""
    from cryptography.x509 import load_pem_x509_certificates

    for file in files:
        with suppress(OSError, ValueError):
            for each in load_pem_x509_certificates(file.read_bytes()) if file else ():
                if said := _judged(f"a certificate in {file}", each):
                    return said
    return ""


def postgres_begins(connection: socket.socket) -> None:
    """Ask Postgres for TLS. Raises ValueError if it has none."""
    connection.sendall(_POSTGRES_SSL_REQUEST)
    if connection.recv(1) != b"S":
        raise ValueError("no TLS")


def _judged(what: str, certificate: Certificate) -> str:
    now = datetime.now(UTC)
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now > ends:
        return f"{what} ran out on {ends:%Y-%m-%d}. Renew it"
    if now < begins:
        return f"{what} is valid from {begins:%Y-%m-%d} on, and here it is {now:%Y-%m-%d}. Check the clocks"
    return ""
