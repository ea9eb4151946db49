"""Where a paper is, as somebody gives it: a PMCID, a URL, a file or a folder.

What belongs here: spelling, and which paper a page is about. What does not: which hosts are allowed, and
fetching (`fetch`). A refusal never repeats the input: it may hold a password.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import SplitResult, parse_qs, urlsplit, urlunsplit

from ingest_assets.jobs.errors import JobTargetError
from ingest_assets.redaction import keep_secrets_of_url
from ingest_assets.sources.addresses import NotAllowedError, checked_host
from ingest_assets.sources.papers.identity import doi_of

Kind = Literal["pmc", "url", "file", "folder"]

MAX_INPUT = 2_000  # characters
_URL = "the paper's URL"
_PMCID = re.compile(r"pmc[\s:]?([0-9]{1,10})(\.[0-9]{1,3})?", re.IGNORECASE)  # .2 is a version of it
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(?=//)")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
# Pages about an article. They are web pages: the paper itself comes from NCBI's efetch.
_PAGES = {
    "pmc.ncbi.nlm.nih.gov": re.compile(r"/articles/(pmc[0-9]+)(\.[0-9]+)?(/|\Z)", re.IGNORECASE),
    "www.ncbi.nlm.nih.gov": re.compile(
        r"/(?:labs/)?pmc/articles/(pmc[0-9]+)(\.[0-9]+)?(/|\Z)", re.IGNORECASE
    ),
    "europepmc.org": re.compile(
        r"/(?:articles?|abstract|api/fulltextRepo)/(?:pmc/)?(pmc[0-9]+)(/|\Z)", re.IGNORECASE
    ),
}
_SAME_PAGES = {"ncbi.nlm.nih.gov": "www.ncbi.nlm.nih.gov", "www.europepmc.org": "europepmc.org"}
_EFETCH = ("eutils.ncbi.nlm.nih.gov", "/entrez/eutils/efetch.fcgi")


@dataclass(frozen=True, slots=True)
class Location:
    """Where a paper is. `shown` names it in messages, lists and logs; it holds no secret."""

    kind: Kind
    shown: str
    pmcid: str = ""  # "PMC123", of kind "pmc"
    url: str = ""  # of kind "url"
    path: Path | None = None  # absolute, of kinds "file" and "folder"


def parse_location(given: str, *, base: Path | None = None, local: bool = True) -> Location:
    """Where a paper is.

    A PMCID is one in every spelling; a file of that name is given as "./PMC123". A page about an article in
    PMC or Europe PMC means its PMCID.

    Args:
        given: what somebody wrote.
        base: the folder that relative paths are in; without it, the current one.
        local: whether files and folders of this machine may be given.

    Raises:
        JobTargetError: it is nothing of the kind; NotAllowedError when it is a URL that may not be used.
    """
    text = given.strip()
    if not text or len(text) > MAX_INPUT or _UNPRINTABLE.search(text):
        raise JobTargetError(
            f"Give a paper as a PMCID, a URL, a file or a folder, in at most {MAX_INPUT:,} characters."
        )
    if found := _PMCID.fullmatch(text):
        return _pmc(found[1])
    if scheme := _SCHEME.match(text):
        return _from_url(text, scheme[1].lower())
    if not local:
        raise JobTargetError("Give a paper as a PMCID, such as PMC123, or as an https URL.")
    return _from_path(text, base or Path.cwd())


def _pmc(digits: str) -> Location:
    number = int(digits)
    if number == 0:
        raise JobTargetError("PMC0 is no PMCID: the numbers begin with 1.")
    return Location(kind="pmc", shown=f"PMC{number}", pmcid=f"PMC{number}")


def _from_url(text: str, scheme: str) -> Location:
    if scheme not in ("https", "http"):
        raise NotAllowedError("A paper's URL begins with https://; a file is given as its path.")
    if " " in text or "\\" in text:
        raise NotAllowedError("The paper's URL has blanks or backslashes: write them as %20 and %5C.")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise NotAllowedError("The paper's URL cannot be read: check its host and port.") from None
    if "@" in parts.netloc:
        raise NotAllowedError("The paper's URL holds a user name or a password: leave them out.")
    if port == 0:
        raise NotAllowedError("The paper's URL has no valid port.")
    host = checked_host(parts.hostname or "", _URL)
    if pmc := _meant(host, parts):
        return pmc
    shown_host = f"[{host}]" if ":" in host else host
    where = shown_host if port is None else f"{shown_host}:{port}"
    keep_secrets_of_url(text)
    return Location(
        kind="url",
        shown=urlunsplit((scheme, where, parts.path or "/", "", "")),
        url=urlunsplit((scheme, where, parts.path or "/", parts.query, "")),
    )


def _meant(host: str, parts: SplitResult) -> Location | None:
    """The article that a page is about, or that a request to efetch asks for. None for other URLs."""
    name = _SAME_PAGES.get(host, host)
    if name in _PAGES:
        if found := _PAGES[name].match(parts.path):
            return _pmc(found[1][3:])
        raise JobTargetError("The URL is not the page of an article in PMC: give its PMCID, such as PMC123.")
    if (host, parts.path) == _EFETCH:
        asked = parse_qs(parts.query)
        if asked.get("db") == ["pmc"] and (
            number := re.fullmatch(r"(?:pmc)?([0-9]{1,10})", asked.get("id", [""])[-1].lower())
        ):
            return _pmc(number[1])
    return None


def _from_path(text: str, base: Path) -> Location:
    path = base / Path(text)
    try:
        if path.is_dir():
            return Location(kind="folder", shown=text, path=path.absolute())
        if path.is_file():
            return Location(kind="file", shown=text, path=path.absolute())
    except (OSError, ValueError):
        pass  # a name that no file can have
    if doi_of(text):
        raise JobTargetError("Papers are not fetched by their DOI: give the PMCID, or the paper's file.")
    raise JobTargetError(
        "There is no such file or folder. A PMCID looks like PMC123, and a URL begins with https://."
    )
