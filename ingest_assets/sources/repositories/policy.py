"""What may be fetched: protocols, hosts, addresses, local folders. Nothing is allowed that is not listed.

What belongs here: the allow-list. What does not: judging hosts and addresses (sources/addresses), how a user
spells a repository (origin) and the connection itself (transport).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from ingest_assets.model import ConfigurationError
from ingest_assets.sources import addresses
from ingest_assets.sources.addresses import HostRules, NotAllowedError

FETCHABLE = frozenset({"https", "http", "ssh", "file"})
SSH_PORT = 22
# Forges that ignore the case of a repository's path.
CASELESS = frozenset({"github.com", "gitlab.com", "bitbucket.org", "codeberg.org"})
# Those of them whose repositories may be in groups, at any depth.
GROUPS = frozenset({"gitlab.com"})
_HTTPS_PORT = 443


@dataclass(frozen=True, slots=True)
class Policy(HostRules):
    """What may be fetched. The defaults allow public hosts over https, and no local folder.

    `protocols` are some of https, http, ssh and file; git's remote helpers (ext::) are programs that a URL
    names, and never allowed. `hosts`, when given, are the only ones; "*.example.com" stands for every name
    below example.com. `local_roots` are the folders that a local repository may be in. `tokens` are sent to
    their host (and port, where one is named), over https only. `ssh_keys` are files of private keys, each for
    a host ("git.example.com", "git.example.com:2222") or for everything below a path there
    ("github.com/owner/name"); `known_hosts` is a file in OpenSSH's format of the keys that servers must have.
    """

    what: ClassVar[str] = "Repositories"

    protocols: frozenset[str] = frozenset({"https"})
    local_roots: tuple[Path, ...] = ()
    # Whether any folder that this process may read can be given: it is for people and agents at this machine.
    own_folders: bool = False
    ca_file: Path | None = None  # certificates to trust instead of the well-known ones
    tokens: Mapping[str, str] = field(default_factory=dict, repr=False)
    ssh_keys: Mapping[str, Path] = field(default_factory=dict)
    known_hosts: Path | None = None

    def __post_init__(self) -> None:
        if unknown := sorted(self.protocols - FETCHABLE):
            raise ConfigurationError(
                f"Repositories cannot be fetched by {', '.join(unknown)}: only by https, http, ssh and file."
            )
        if relative := [str(root) for root in self.local_roots if not root.is_absolute()]:
            raise ConfigurationError(f"Folders for local repositories must be absolute: {relative[0]!r}.")
        if "ssh" in self.protocols and self.known_hosts is None:
            raise ConfigurationError(
                "Repositories are fetched by ssh only from servers whose keys are known: set "
                "INGEST_REPOSITORY_KNOWN_HOSTS to a file of them."
            )

    def require_protocol(self, protocol: str) -> None:
        if protocol not in self.protocols:
            allowed = ", ".join(sorted(self.protocols)) or "none"
            raise NotAllowedError(
                f"Repositories may not be fetched by {protocol[:20]} (allowed: {allowed}, in "
                "INGEST_REPOSITORY_PROTOCOLS)."
            )

    def roots_for(self, path: Path) -> tuple[Path, ...]:
        """The folders that a local repository at this path may be in. Raises NotAllowedError."""
        if self.own_folders:
            return (*self.local_roots, path)
        if self.local_roots:
            self.require_protocol("file")
            return self.local_roots
        raise NotAllowedError(
            "Local repositories are not allowed: no folder for them is set (INGEST_REPOSITORY_ROOTS)."
        )

    def token_for(self, host: str, port: int, protocol: str) -> str | None:
        if protocol != "https":
            return None
        return self.tokens.get(f"{host}:{port}") or (self.tokens.get(host) if port == _HTTPS_PORT else None)

    def key_for(self, host: str, port: int, path: str) -> Path:
        """The private key of a repository: the one set for the longest matching part of its address.

        Raises ConfigurationError when there is none.
        """
        shown = f"[{host}]" if ":" in host else host
        hosts = {f"{shown}:{port}", shown} if port == SSH_PORT else {f"{shown}:{port}"}
        where = f"{_compared(host, path)}/"
        matching = [
            (len(below), file)
            for name, file in self.ssh_keys.items()
            for of_host, _, below in [name.partition("/")]
            if of_host.lower() in hosts and where.startswith(f"{_compared(host, below)}/".lstrip("/"))
        ]
        if not matching:
            wanted = shown if port == SSH_PORT else f"{shown}:{port}"
            raise ConfigurationError(
                f"No key for {wanted} is set: add {wanted}=FILE to INGEST_REPOSITORY_SSH_KEYS."
            )
        return max(matching)[1]


def checked_host(host: str) -> str:
    """A host in comparable form, without brackets. Raises NotAllowedError when it is not valid."""
    return addresses.checked_host(host, "the repository's URL")


def _compared(host: str, path: str) -> str:
    """A path in a form in which all spellings of one repository are equal."""
    bare = path.strip("/").removeprefix("~/").removesuffix(".git")
    return bare.lower() if host in CASELESS else bare
