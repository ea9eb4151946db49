"""Which hosts papers may be fetched from, and how: https, listed hosts, public addresses, usual ports.

What belongs here: the policy. What does not: judging addresses (`sources/addresses`), and fetching (`fetch`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar
from urllib.parse import urlsplit

from pydantic import SecretStr

from ingest_assets.sources.addresses import HostRules, NotAllowedError, checked_host, matches
from ingest_assets.sources.papers.fetching.locations import Location

EFETCH = "https://eutils.ncbi.nlm.nih.gov/entrez/eutils/efetch.fcgi"
EFETCH_HOST = "eutils.ncbi.nlm.nih.gov"
_PORTS = {"https": 443, "http": 80}
_MAX_REDIRECTED = 4_000  # characters of a URL


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperHosts(HostRules):
    """What papers may be fetched from. The defaults allow NCBI's efetch only.

    `hosts` may name ports ("papers.example.org:8443"); without one, a host is allowed on its scheme's usual
    port. NCBI asks for an e-mail address with requests, and allows more of them with a key.
    """

    what: ClassVar[str] = "Papers"

    hosts: frozenset[str] | None = frozenset({EFETCH_HOST})
    schemes: frozenset[str] = frozenset({"https"})  # http only where a network is trusted
    ca_file: Path | None = None  # certificates to trust instead of the well-known ones
    efetch: str = EFETCH  # or a mirror of it
    email: str = ""
    api_key: SecretStr | None = None

    @property
    def key(self) -> str:
        """NCBI's key; "" where there is none."""
        return "" if self.api_key is None else self.api_key.get_secret_value().strip()

    def require(self, url: str) -> tuple[str, int]:
        """The host and port of a URL that may be fetched. Raises NotAllowedError; it repeats no path."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise NotAllowedError("The paper's URL cannot be read: check its host and port.") from None
        if parts.scheme not in self.schemes or parts.scheme not in _PORTS:
            allowed = ", ".join(sorted(self.schemes))
            raise NotAllowedError(
                f"Papers may not be fetched by {parts.scheme[:20] or 'that'}: by {allowed}."
            )
        if "@" in parts.netloc or len(url) > _MAX_REDIRECTED:
            raise NotAllowedError("The paper's URL holds a user name or a password, or is too long: refused.")
        host = checked_host(parts.hostname or "", "the paper's URL")
        port = _PORTS[parts.scheme] if port is None else port
        self.require_host(host)
        if not self._is_allowed_port(host, port, parts.scheme):
            raise NotAllowedError(f"Papers may not be fetched from port {port} of {host}.")
        return host, port

    def require_host(self, host: str) -> None:
        """Raises NotAllowedError for a host that is not listed, or is itself a private address or name."""
        if self.hosts is not None and not any(matches(host, _parts(each)[0]) for each in self.hosts):
            raise NotAllowedError(
                f"Papers may not be fetched from {host}: add it to INGEST_PAPER_HOSTS, or give the PMCID."
            )
        self.require_public_name(host)

    def _is_allowed_port(self, host: str, port: int, scheme: str) -> bool:
        listed = [_parts(each) for each in self.hosts or ()]
        ports = {number for name, number in listed if matches(host, name)} or {None}
        return port in ports or (None in ports and port == _PORTS[scheme])


def require_allowed(location: Location, hosts: PaperHosts) -> None:
    """Whether a paper may be fetched, before a job is queued for it. Nothing is looked up or connected to.

    Raises NotAllowedError.
    """
    if location.kind == "pmc":
        hosts.require(hosts.efetch)
    elif location.kind == "url":
        hosts.require(location.url)


def _parts(listed: str) -> tuple[str, int | None]:
    """The name and the port of an entry such as "host:8443"; None where it has no port."""
    name, colon, port = listed.rpartition(":")
    if colon and port.isdecimal() and (":" not in name or name.endswith("]")):
        return name, int(port)
    return listed, None
