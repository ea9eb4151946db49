"""Which certificates are trusted, and which one is shown, over HTTP and over gRPC."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ingest_assets.json_client import trusting
from ingest_assets.model import ConfigurationError, UnavailableError


@dataclass(frozen=True, slots=True)
class Tls:
    """Files are in PEM."""

    verify: bool = True
    ca_file: Path | None = None  # trusted instead of the public authorities
    cert_file: Path | None = None  # the client's certificate, with its chain
    key_file: Path | None = None  # without a passphrase; in the certificate's file, if None

    @property
    def files(self) -> tuple[Path | None, ...]:
        """Those that hold certificates."""
        return self.ca_file, self.cert_file

    def check(self) -> None:
        """Raises ConfigurationError if a file cannot be used."""
        if self.ca_file is not None or self.cert_file is not None or self.key_file is not None:
            self.context()

    def context(self) -> ssl.SSLContext:
        """For HTTP."""
        if not self.verify:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        elif self.ca_file is not None:
            context = trusting(_there(self.ca_file, "QDRANT_CA_FILE"))
        else:
            context = ssl.create_default_context()
        if self.cert_file is not None:
            _there(self.cert_file, "QDRANT_CLIENT_CERT_FILE")
            if self.key_file is not None:
                _there(self.key_file, "QDRANT_CLIENT_KEY_FILE")
            try:
                # A passphrase is refused, instead of asked for at the terminal.
                context.load_cert_chain(self.cert_file, self.key_file, password=lambda: "")
            except (ssl.SSLError, OSError, ValueError) as error:
                raise ConfigurationError(
                    "QDRANT_CLIENT_CERT_FILE and QDRANT_CLIENT_KEY_FILE are not a PEM certificate and its "
                    f"key without a passphrase: {error}"
                ) from None
        elif self.key_file is not None:
            raise ConfigurationError("QDRANT_CLIENT_KEY_FILE is set without QDRANT_CLIENT_CERT_FILE.")
        return context

    def grpc_options(self, host: str, port: int, timeout_s: float) -> dict[str, Any]:
        """The same for gRPC, whose library cannot leave out verification.

        Instead, the certificate that the server shows is trusted, under the name that it has.
        """
        options: dict[str, Any] = {}
        if not self.verify:
            shown, name = _certificate_of(host, port, self.context(), timeout_s)
            options |= {"root_certificates": shown, "grpc.ssl_target_name_override": name}
        elif self.ca_file is not None:
            options["root_certificates"] = self.ca_file.read_bytes()
        elif (bundle := ssl.get_default_verify_paths().cafile) and Path(bundle).is_file():
            # As over HTTP: SSL_CERT_FILE, and the system's authorities.
            options["root_certificates"] = Path(bundle).read_bytes()
        if self.cert_file is not None:
            options["certificate_chain"] = self.cert_file.read_bytes()
            options["private_key"] = (self.key_file or self.cert_file).read_bytes()
        return options


def _there(file: Path, setting: str) -> Path:
    if not file.is_file():
        raise ConfigurationError(f"{setting} names {file}, which is no file.")
    return file


def _certificate_of(host: str, port: int, context: ssl.SSLContext, timeout_s: float) -> tuple[bytes, str]:
    """The certificate that a server shows, and the first name in it."""
    try:
        with _secured(host, port, context, timeout_s) as connection:
            pem = ssl.DER_cert_to_PEM_cert(connection.getpeercert(binary_form=True) or b"")
        # Its fields are told only of a certificate that was verified: now it is trusted.
        context.verify_mode = ssl.CERT_REQUIRED
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.load_verify_locations(cadata=pem)
        with _secured(host, port, context, timeout_s) as connection:
            names: Any = (connection.getpeercert() or {}).get("subjectAltName", ())
    except ssl.SSLError as error:
        raise ConfigurationError(
            f"Qdrant at {host}:{port} shows a certificate that gRPC cannot be made to accept ({error}). "
            "Renew it, or unset QDRANT_GRPC_PORT to use HTTP."
        ) from None
    except OSError as error:
        raise UnavailableError(
            f"Qdrant at {host}:{port} does not answer ({error}). Check QDRANT_URL and QDRANT_GRPC_PORT."
        ) from None
    return pem.encode(), next((name for _, name in names), host)


def _secured(host: str, port: int, context: ssl.SSLContext, timeout_s: float) -> ssl.SSLSocket:
    return context.wrap_socket(
        socket.create_connection((host, port), timeout=timeout_s), server_hostname=host
    )
