"""What is known of some papers by their ids: facts, and what has become of them.

A paper may say itself that it was retracted, or another one may: a notice is an article of its own. Whoever
can put in a paper can put in one that claims it, so it is always said which paper does.

What belongs here: bounded queries by ids. What does not: which papers there are (`papers`), and lists.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import sqlalchemy as sa

from ingest_assets.ledger.graph_tables import paper_bundle, paper_file
from ingest_assets.ledger.store import batched
from ingest_assets.sources.papers.file_rows import notices_about, read_file, says_of_others
from ingest_assets.sources.papers.identity import doi_of

_BOUND = 5_000  # values per query
_file, _bundle = paper_file, paper_bundle
Facts = Mapping[str, Any]


class KnownNotice(NamedTuple):
    """What has become of a paper."""

    kind: str  # of `article.Notice`
    said_by: str = ""  # the paper that says so; "" for the paper itself

    def __str__(self) -> str:
        return f"{self.kind} (says {self.said_by})" if self.said_by else self.kind


def facts_of_files(connection: sa.Connection, ids: Iterable[str]) -> dict[str, Facts]:
    """What the files of papers say, for each paper the one that is read."""
    query = sa.select(_file.c.paper_id, _file.c.facts).where(read_file())
    return {
        row.paper_id: json.loads(row.facts)
        for part in batched(sorted(set(ids)), _BOUND)
        for row in connection.execute(query.where(_file.c.paper_id.in_(part)))
    }


def facts_of_bundles(connection: sa.Connection, ids: Iterable[str]) -> dict[str, Facts]:
    """What bundles say of their papers. Whole bundles may be large, and are not read."""
    if connection.dialect.name == "sqlite":
        facts: Any = sa.func.json_extract(_bundle.c.content, "$.paper")
    else:
        facts = sa.func.json_extract_path_text(sa.cast(_bundle.c.content, sa.JSON), "paper")
    query = sa.select(_bundle.c.paper_id, facts.label("facts"))
    return {
        row.paper_id: json.loads(row.facts or "{}")
        for part in batched(sorted(set(ids)), _BOUND)
        for row in connection.execute(query.where(_bundle.c.paper_id.in_(part)))
    }


def facts_of(connection: sa.Connection, ids: Iterable[str]) -> dict[str, Facts]:
    """What is known of papers: from their files, else from their bundles."""
    wanted = set(ids)
    found = facts_of_files(connection, wanted)
    return facts_of_bundles(connection, wanted - found.keys()) | found


def notices_of(connection: sa.Connection, papers: Mapping[str, Facts]) -> dict[str, list[KnownNotice]]:
    """What has become of papers, given what is known of each; those without a notice are left out.

    One kind is named once, and what a paper says of itself goes before what others say.
    """
    claims = _claims(connection, {key for facts in papers.values() for key in _keys(facts)})
    found: dict[str, list[KnownNotice]] = {}
    for paper_id, facts in papers.items():
        own = {each.get("kind", "") for each in facts.get("notices") or () if each.get("about_this")}
        said = dict.fromkeys(own, "")
        for key in _keys(facts):
            for kind, said_by in claims.get(key, ()):
                said.setdefault(kind, "" if said_by == paper_id else said_by)
        if said:
            found[paper_id] = [KnownNotice(kind, said[kind]) for kind in sorted(said)]
    return found


def _claims(connection: sa.Connection, keys: set[str]) -> dict[str, list[tuple[str, str]]]:
    """By DOI and PMID: the kind of notice, and the paper that says so."""
    if not keys:
        return {}
    query = sa.select(_file.c.paper_id, _file.c.notices).where(says_of_others(), read_file())
    found: dict[str, list[tuple[str, str]]] = {}
    for row in sorted(connection.execute(query), key=lambda each: str(each.paper_id)):
        for key, notices in notices_about([(row.paper_id, row.notices)]).items():
            if key in keys:
                found.setdefault(key, []).extend((each.kind, row.paper_id) for each in notices)
    return found


def _keys(facts: Facts) -> Iterator[str]:
    """By what others name a paper: its DOI and PMID. Those in bundles may be written in any way."""
    doi, pmid = facts.get("doi"), facts.get("pmid")
    if isinstance(doi, str) and doi:
        yield doi_of(doi) or doi
    if isinstance(pmid, str | int) and pmid:
        yield str(pmid)
