"""A repository as a user gives it, a URL or a local path, checked and given a stable id.

What belongs here: spelling, refusals and links. What does not: connecting, and reading a repository.
A refusal never repeats the input: it may hold a password.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from ingest_assets.sources.addresses import NotAllowedError
from ingest_assets.sources.repositories.local import real_folder
from ingest_assets.sources.repositories.policy import (
    CASELESS,
    GROUPS,
    SSH_PORT,
    Policy,
    checked_host,
)

MAX_INPUT = 2_000  # characters
MAX_REF = 250
_MAX_ID = 200
_PORTS = {"https": 443, "http": 80, "ssh": SSH_PORT}
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)(::|://|:)")
_SCP = re.compile(r"((?:[^/\\:@]*@)?(?:\[[0-9A-Fa-f:.]+\]|[^/\\:]+)):(?!//)(.*)\Z")
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}\Z")
_USUAL_USER = "git"  # the one that forges expect, and the default of an ssh URL
_OWNER_AND_NAME = 2  # segments of a repository's path at a forge
_DRIVE = re.compile(r"[A-Za-z]:[\\/]")
_SEGMENT = re.compile(
    r"[^\x00-\x20\x7f-\x9f/\\:?#\[\]<>\"'`|*^{}%]+( [^\x00-\x20\x7f-\x9f/\\:?#\[\]<>\"'`|*^{}%]+)*\Z"
)
_REF_FORBIDDEN = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/\.|\.lock(/|\Z)|\.\Z|/\Z")
_COMMIT = re.compile(r"[0-9a-f]{40}\Z")
# What a host's link to a file has between the repository and the ref. Other hosts get a link without a ref.
_BLOB = {"github.com": "blob", "gitlab.com": "-/blob", "bitbucket.org": "src"}


@dataclass(frozen=True, slots=True)
class Origin:
    """A repository that may be read. Exactly one of `url` and `path` is set.

    `id` is stable, readable and safe as a partition key: "github.com/owner/name", "local/name-1f3a9c20".
    """

    id: str
    name: str
    url: str | None = None  # without credentials, query and fragment
    path: Path | None = None  # absolute, links resolved: the folder that the user gave
    web: str | None = None  # its page for a browser

    def link(self, path: str, ref: str | None) -> str:
        """Where a person can look at a file. Never by commit, so that an unchanged file keeps its link."""
        if self.web is None:
            return f"repository:{quote(self.id)}/{quote(path)}"
        blob = _BLOB.get(self.web.split("/")[2])
        if blob is None:
            return f"{self.web}#{quote(path)}"
        return f"{self.web}/{blob}/{quote(_short(ref) if ref else 'HEAD')}/{quote(path)}"


def parse_origin(given: str, policy: Policy) -> Origin:
    """The Origin of a git URL or of the absolute path of a local repository.

    Does not use the network; names are resolved, and their addresses checked, at each connection.
    Raises NotAllowedError, in one sentence, for whatever the policy does not allow.
    """
    if len(given) > MAX_INPUT:
        raise NotAllowedError(
            f"The repository's URL or path has {len(given):,} characters; {MAX_INPUT:,} are allowed."
        )
    if _CONTROLS.search(given):
        raise NotAllowedError("The repository's URL or path holds a control character.")
    given = given.strip()
    if not given:
        raise NotAllowedError("The repository's URL or path is empty.")
    if given.startswith("-"):
        raise NotAllowedError("A repository's URL or path may not begin with a hyphen.")
    if os.name == "nt" and _DRIVE.match(given):
        return _local(given, policy)
    scheme = _SCHEME.match(given)
    if scheme and scheme[2] == "::":
        raise NotAllowedError("Repositories may not be fetched through a remote helper (a URL with ::).")
    if scheme and scheme[2] == "://":
        return _from_url(given, scheme[1].lower(), policy)
    if scp := _SCP.match(given):
        return _from_scp(scp[1], scp[2], policy)
    return _local(given, policy)


def checked_ref(ref: str | None) -> str | None:
    """A branch, tag, full ref or commit (40 hexadecimal digits) by git's rules; None stands for HEAD."""
    if ref is None or not ref.strip() or ref == "HEAD":
        return None
    if len(ref) > MAX_REF:
        raise NotAllowedError(f"The ref has {len(ref):,} characters; {MAX_REF} are allowed.")
    if ref.startswith(("-", "/", ".")) or _REF_FORBIDDEN.search(ref) or not _encodable(ref):
        raise NotAllowedError("The ref is not the name of a branch, a tag or a commit.")
    return ref


def spoken_id(value: str) -> str:
    """An id that people wrote, in the form of a repository's: they paste URLs, and forges ignore case."""
    bare = re.sub(r"^https://", "", value.strip()).removesuffix("/").removesuffix(".git")
    host = bare.partition("/")[0].lower()
    return bare.lower() if host in CASELESS else bare


def is_commit(ref: str) -> bool:
    return _COMMIT.match(ref) is not None


def _from_url(given: str, scheme: str, policy: Policy) -> Origin:
    try:
        parts = urlsplit(given)
        port, host = parts.port, parts.hostname or ""
    except ValueError:
        raise NotAllowedError("The repository's URL cannot be read: check its host and port.") from None
    if parts.password is not None or (scheme != "ssh" and "@" in parts.netloc):
        raise NotAllowedError(
            "The repository's URL holds credentials: leave them out, and set a token (for ssh, a key) for "
            "the host instead."
        )
    policy.require_protocol(scheme)
    if scheme == "file":
        if host not in ("", "localhost"):
            raise NotAllowedError("A file: URL may not name a host.")
        return _local(_without_escapes(parts.path), policy)
    if parts.query or parts.fragment or given.endswith(("?", "#")):
        raise NotAllowedError("The repository's URL may have no query and no fragment.")
    if port == 0:
        raise NotAllowedError("The repository's URL has no valid port.")
    host = checked_host(host)
    policy.require_host(host)
    user = _checked_user(parts.username or _USUAL_USER) if scheme == "ssh" else None
    return _remote(scheme, user, host, port or _PORTS[scheme], _segments(parts.path))


def _from_scp(authority: str, path: str, policy: Policy) -> Origin:
    """[user@]host:path, where a path without a leading slash is below the user's home on the server."""
    if authority.lower() in {*_PORTS, "file"}:
        raise NotAllowedError(f"The repository's URL must begin with {authority.lower()}://.")
    if "@" in path.partition("/")[0]:
        raise NotAllowedError("The repository's URL holds credentials: leave them out.")
    policy.require_protocol("ssh")
    user, _, host = authority.rpartition("@")
    host = checked_host(host.strip("[]"))
    policy.require_host(host)
    # A forge has no home folders, and knows a repository by the same path, with or without a slash.
    at_home = not path.startswith(("/", "~")) and host not in CASELESS
    segments = _segments(path)
    return _remote(
        "ssh", _checked_user(user or _USUAL_USER), host, SSH_PORT, ["~", *segments] if at_home else segments
    )


def _checked_user(user: str) -> str:
    if not _USER.match(user):
        raise NotAllowedError("The user in the repository's URL is not a valid user name.")
    return user


def _segments(path: str) -> list[str]:
    segments = _without_escapes(path).strip("/").split("/")
    # Not only control characters are unprintable, and the repository's id has to be shown.
    if any(not (_SEGMENT.match(each) and each.isprintable()) or each in (".", "..") for each in segments):
        raise NotAllowedError(
            'The path of the repository\'s URL is empty, or holds ".", ".." or a forbidden character.'
        )
    return segments


def _without_escapes(path: str) -> str:
    """Percent-decoded once. Double encoding, and encoded separators and dots, are refused as suspicious."""
    if re.search("%(2[ef]|5c|25|00)", path, re.IGNORECASE):
        raise NotAllowedError("The path of the repository's URL holds an encoded dot, slash or percent sign.")
    decoded = unquote(path, errors="surrogateescape")
    if "%" in decoded or not _encodable(decoded) or _CONTROLS.search(decoded):
        raise NotAllowedError("The path of the repository's URL is not encoded as UTF-8, or encoded twice.")
    return decoded


def _remote(scheme: str, user: str | None, host: str, port: int, segments: list[str]) -> Origin:
    shown = f"[{host}]" if ":" in host else host
    authority = shown if port == _PORTS[scheme] else f"{shown}:{port}"
    _require_repository(host, segments)
    path = "/".join(segments)
    bare = path[: -len(".git")] if path.endswith(".git") and not path.endswith("/.git") else path
    readable = bare.lower() if host in CASELESS else bare
    prefix = "" if scheme == "https" else f"{scheme}:"
    unusual = f"{user}@" if user not in (None, _USUAL_USER) else ""
    return Origin(
        id=_bounded(f"{prefix}{unusual}{authority}/{readable}"),
        name=bare,
        url=f"{scheme}://{f'{user}@' if user else ''}{authority}/{quote(path)}",
        web=_web(scheme, host, authority, bare),
    )


def _require_repository(host: str, segments: list[str]) -> None:
    """At a forge a repository has an owner and a name; people paste what their browser shows."""
    if host not in CASELESS:
        return
    if len(segments) < _OWNER_AND_NAME:
        raise NotAllowedError(f"The URL names no repository: it is https://{host}/OWNER/NAME.")
    end = _OWNER_AND_NAME
    if host in GROUPS:  # names below names, and pages after a "-"
        end = segments.index("-") if "-" in segments else len(segments)
    if segments[end:]:
        shown = quote("/".join(segments[:end]))
        raise NotAllowedError(
            f"The URL is that of a page, not of a repository, which is https://{host}/{shown} (and a branch, "
            "a tag or a commit is given as the ref)."
        )


def _web(scheme: str, host: str, authority: str, path: str) -> str | None:
    """An ssh server that is a forge has web pages; about others nothing is known."""
    if scheme == "ssh":
        return f"https://{host}/{quote(path)}" if host in CASELESS else None
    return f"{scheme}://{authority}/{quote(path)}"


def _bounded(text: str) -> str:
    if len(text) <= _MAX_ID:
        return text
    return f"{text[: _MAX_ID - 17]}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def _local(given: str, policy: Policy) -> Origin:
    path = Path(given)
    roots = policy.roots_for(path)
    if not path.is_absolute():
        raise NotAllowedError("The path of a local folder must be absolute (or the URL begin with https://).")
    if ".." in re.split(r"[\\/]", given) or re.search("%(25)*(2e|2f|5c)", given, re.IGNORECASE):
        raise NotAllowedError('The path of a local repository may not hold "..", encoded or not.')
    real = real_folder(path, roots)
    digest = hashlib.sha256(os.fsencode(os.path.normcase(real))).hexdigest()[:8]
    readable = re.sub(r"[^\w.-]+", "_", real.name.removesuffix(".git"))[:100].strip("._-") or "repository"
    return Origin(id=f"local/{readable}-{digest}", name=real.name, path=real)


def _short(ref: str) -> str:
    return ref.removeprefix("refs/heads/").removeprefix("refs/tags/")


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
