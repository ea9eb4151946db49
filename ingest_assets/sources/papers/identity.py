"""What names a paper: its PMCID, DOI or PMID as people write them, and the one name that we give it.

What belongs here: recognising, normalising and choosing ids. What does not: where in a file they stand.
"""

from __future__ import annotations

import re
import unicodedata

from ingest_assets.model import ItemError, digest_of

_PMCID = re.compile(r"(?:PMC(?:ID)?\s*[:#]?\s*){1,2}(\d{1,12})(?:\.\d+)?", re.IGNORECASE)
_PMC_PATH = re.compile(r"/(?:articles|pmc)/(?:articles/)?(?:PMC)?(\d{1,12})\b", re.IGNORECASE)
_PMID = re.compile(r"(?:PMID\s*[:#]?\s*)?(\d{1,9})", re.IGNORECASE)
_PUBMED_PATH = re.compile(r"pubmed(?:\.ncbi\.nlm\.nih\.gov)?/(\d{1,9})\b", re.IGNORECASE)
_DOI = re.compile(r"10\.\d{1,9}(?:\.\d+)*/[^\s\"]+", re.IGNORECASE)  # old ones have `<` and `>` in them
# In running text only those that are in use, as Crossref recommends: "10.5/kg" is none.
_DOI_IN_TEXT = re.compile(r"\b10\.\d{4,9}(?:\.\d+)*/[^\s\"<>]+", re.IGNORECASE)
_DOI_PREFIX = re.compile(r"^(?:(?:https?://)?(?:dx\.)?(?:www\.)?doi\.org/|doi\s*[:=]?\s*)", re.IGNORECASE)
_MAX_DOI = 500
_MAX_NAME = 80
_UNSAFE = re.compile(r"[^A-Za-z0-9._()-]+")


def pmcid_of(text: str) -> str:
    """Of "pmc 123", "PMCID: PMC123", "PMC123.1" or an address at PMC "PMC123"; "" if it is none."""
    text = text.strip()
    found = _PMCID.fullmatch(text) or ("/" in text and _PMC_PATH.search(text)) or None
    return f"PMC{int(found[1])}" if found and int(found[1]) else ""


def pmid_of(text: str) -> str:
    """Of "123", "PMID: 123" or an address at PubMed "123"; "" if it is none."""
    text = text.strip()
    found = _PMID.fullmatch(text) or ("/" in text and _PUBMED_PATH.search(text)) or None
    return str(int(found[1])) if found and int(found[1]) else ""


def doi_of(text: str) -> str:
    """The DOI in lower case, without what addresses and people put before it; "" if it is none."""
    text = _DOI_PREFIX.sub("", text.strip())
    if "%2f" in text.lower():  # as in an address
        from urllib.parse import unquote

        text = unquote(text)
    return text.lower() if len(text) <= _MAX_DOI and _DOI.fullmatch(text) else ""


def doi_in(text: str) -> str:
    """The first DOI in running text, without the punctuation that ends its sentence."""
    found = _DOI_IN_TEXT.search(text)
    if not found:
        return ""
    doi = found[0].rstrip(".,;:'\N{RIGHT SINGLE QUOTATION MARK}\N{RIGHT DOUBLE QUOTATION MARK}*>]}")
    while doi.endswith(")") and doi.count("(") < doi.count(")"):
        doi = doi[:-1].rstrip(".,;:")
    return doi_of(doi)


def pmcid_in(text: str) -> str:
    """The first PMCID in running text."""
    found = re.search(r"\bPMC\d{3,12}\b", text)
    return pmcid_of(found[0]) if found else ""


def paper_id(pmcid: str = "", doi: str = "", pmid: str = "", name: str = "") -> str:
    """The name of a paper here: its PMCID, or else "doi-10.1000-x", "pmid-123", or what its file is called.

    The ids are normalised ones. It is safe as the name of a file. Raises ItemError when there is nothing to
    name it by.
    """
    if pmcid:
        return pmcid
    if doi:
        return f"doi-{_safe(doi, plain='/')}"
    if pmid:
        return f"pmid-{pmid}"
    if name.strip():
        return _safe(name.strip())
    raise ItemError("It has no id: neither a PMCID nor a DOI nor a PMID.")


def _safe(text: str, plain: str = "") -> str:
    """With other characters replaced; then with a digest, so that no two texts get one name.

    `plain` is what may become a hyphen without a digest: where there is one of it, at a place that is known.
    """
    kept = text.replace(plain, "-", 1) if plain else text
    ascii_text = unicodedata.normalize("NFKD", kept).encode("ascii", "ignore").decode("ascii")
    safe = _UNSAFE.sub("-", ascii_text)[:_MAX_NAME].strip("-.")
    if safe == kept and safe[:1].isalnum():
        return safe
    stem = safe if safe[:1].isalnum() else f"paper-{safe}".rstrip("-")
    return f"{stem}-{digest_of(text)[:8]}"
