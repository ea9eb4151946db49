"""Authors of papers as records that can be compared with those of people.

What belongs here: what a paper says of its authors, and by what they are found. What does not: comparing
them (`author_links`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ingest_assets.entities import Features, block_keys, features_of
from ingest_assets.entities.firm_names import organisation_name
from ingest_assets.model import Identity
from ingest_assets.stages.resolution.match_rows import block_number

AUTHORS = 200  # of a paper, the first, that are compared
PARTS = 24  # of an author's affiliations


@dataclass(frozen=True, slots=True)
class Author:
    """An author as a paper names one."""

    paper_id: str
    number: int
    name: str
    email: str
    organisations: frozenset[str]  # what may be the name of one in the affiliations, normalised

    def features(self, organisation: str = "") -> Features:
        """The author as a record, with one of the organisations."""
        emails = (self.email,) if self.email else ()
        identity = Identity("person", self.name, emails=emails, organisation=organisation)
        return features_of(f"{self.paper_id} {self.number} {organisation}", identity)


def authors_of(paper_id: str, facts: Mapping[str, Any]) -> list[Author]:
    """The authors in what is known of a paper: {"authors": [{"name", "email", "affiliations"}, ...]}."""
    found = (facts.get("authors") or ())[:AUTHORS]
    return [
        Author(
            paper_id,
            number,
            each.get("name") or "",
            each.get("email") or "",
            frozenset(_organisations(each.get("affiliations") or ())),
        )
        for number, each in enumerate(found)
    ]


def _organisations(affiliations: Iterable[str]) -> list[str]:
    """The parts of affiliations between commas: one of them may be the name of an organisation."""
    parts = (part for each in affiliations for part in (each, *each.replace(";", ",").split(",")))
    return list(dict.fromkeys(filter(None, map(organisation_name, parts))))[:PARTS]


def author_blocks(paper_id: str, facts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows of a paper in the table `paper_author_block`, sorted: what its authors are found by."""
    rows = {
        (block, author.number)
        for author in authors_of(paper_id, facts)
        for block in map(block_number, keys_of(author))
    }
    return [{"block": block, "paper_id": paper_id, "author": number} for block, number in sorted(rows)]


def keys_of(author: Author) -> set[str]:
    """The blocks of an author with each of the organisations, and with none."""
    return {key for each in ("", *author.organisations) for key in block_keys(author.features(each))}
