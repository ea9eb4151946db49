"""Which files of a folder are one paper: those that share a DOI, a PMID or an id.

As `papers` does for files that are kept: papers with two PMCIDs are two, whatever else they share.
What belongs here: groups, and which file of each is read. What does not: parsing, and keeping.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ingest_assets.sources.papers.article import Article
from ingest_assets.sources.papers.formats.parsing import ParsedArticle, format_of

_BEST_FIRST = ("xml", "pdf", "md", "text")


class Copy(NamedTuple):
    """One paper of one file, by what is known before it is read again. The better ones are less."""

    rank: int  # of its format, from 0
    lacks: int  # how many ids are missing in it
    path: Path
    number: int  # its place in the file
    paper_id: str
    title: str


@dataclass(slots=True)
class Group:
    """The files of one paper."""

    paper_id: str
    pmcid: str
    keys: set[str]
    copies: list[Copy]

    def take(self, other: Group) -> None:
        self.keys |= other.keys
        self.copies += other.copies
        self.pmcid = self.pmcid or other.pmcid


class Found(NamedTuple):
    """A paper of a file, with what says which paper it is."""

    copy: Copy
    pmcid: str
    doi: str
    pmid: str

    @property
    def authority(self) -> tuple[bool, bool, bool, str, Copy]:
        """The order in which papers give a group its id: a PMCID before a DOI before a PMID."""
        return not self.pmcid, not self.doi, not self.pmid, self.copy.paper_id, self.copy


def found_in(path: Path, number: int, parsed: ParsedArticle) -> Found:
    """What is to be remembered of a paper until all files have been looked at."""
    article: Article = parsed.article
    kind = format_of(parsed.content, path.name)
    if kind == "text" and path.suffix.lower() in {".md", ".markdown"}:
        kind = "md"
    lacks = [article.pmcid, article.doi, article.pmid].count("")
    copy = Copy(_BEST_FIRST.index(kind), lacks, path, number, article.paper_id, article.title)
    return Found(copy, article.pmcid, article.doi, article.pmid)


def grouped(found: Iterable[Found]) -> list[Group]:
    """The papers, by id, each with its files, the best first. The order of `found` does not matter."""
    groups: dict[int, Group] = {}
    by_key: dict[str, set[int]] = {}
    for number, each in enumerate(sorted(found, key=lambda one: one.authority)):
        ids = {"doi": each.doi, "pmid": each.pmid, "id": each.copy.paper_id}
        keys = {f"{kind}:{value}" for kind, value in ids.items() if value}
        groups[number] = Group(each.copy.paper_id, each.pmcid, keys, [each.copy])
        lead = number
        for other in sorted({known for key in keys for known in by_key.get(key, ()) if known in groups}):
            if not _are_two(groups[other], groups[lead]):
                lead, joins = sorted((lead, other))
                groups[lead].take(groups.pop(joins))
        for key in groups[lead].keys:
            by_key.setdefault(key, set()).add(lead)
    for group in groups.values():
        group.copies.sort()
    return sorted(groups.values(), key=lambda one: one.paper_id)


def _are_two(one: Group, other: Group) -> bool:
    return bool(one.pmcid and other.pmcid) and one.pmcid != other.pmcid
